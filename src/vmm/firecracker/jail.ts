/**
 * The command that starts Firecracker inside the jailer.
 *
 * The jail is a small tmpfs in a mount namespace of the process's own, with the machine's files
 * bind-mounted into it (those to be read only, read-only). So files of every file system can be in
 * it, a runtime folder that forbids devices or programs is no hindrance, and whenever and however the
 * process ends, the kernel takes mounts, links and sockets away with it.
 */
import { existsSync, readFileSync, rmdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { BootSpec, Snapshot } from "#vmm/driver.ts";
import { hostFiles, JAILED_OUT, jailedPaths, snapshotFolder } from "./layout.ts";

const CGROUP_ROOT = "/sys/fs/cgroup";
const CGROUP_PARENT = "banger";
/** Above one thread for each virtual CPU: API, VMM, and the workers of asynchronous I/O. */
const EXTRA_THREADS = 64;

export interface JailPlan {
  spec: BootSpec;
  /** What it is restored from. */
  snapshot?: Snapshot | undefined;
  /** Both absolute. */
  firecracker: string;
  jailer: string;
  firecrackerArgs: string[];
  uid: number;
  gid: number;
  /** Whether the host has the second version of cgroups, with the pids controller. */
  cgroup: boolean;
}

/** Arguments: where the jail is mounted, its root, mode:source:name triples, "--", the command. */
const SCRIPT = `set -eu
mount -t tmpfs -o mode=0755,size=64m banger-jail "$1"
root=$2
mkdir -p "$root"
shift 2
while [ "$1" != -- ]; do
  if [ -d "$2" ]; then mkdir "$root$3"; else : > "$root$3"; fi
  mount -o "bind,$1" "$2" "$root$3"
  shift 3
done
shift
exec "$@"`;

export function jailCommand(plan: JailPlan): string[] {
  const base = hostFiles(plan.spec.runtimeDir).jail;
  const root = join(base, basename(plan.firecracker), plan.spec.id, "root");
  return [
    ...["unshare", "--mount", "--propagation", "private", "--"],
    ...["sh", "-c", SCRIPT, "banger-jail", base, root],
    ...binds(plan).flatMap(({ mode, source, name }) => [mode, source, name]),
    ...["--", plan.jailer, "--id", plan.spec.id, "--exec-file", plan.firecracker],
    ...["--uid", String(plan.uid), "--gid", String(plan.gid), "--chroot-base-dir", base],
    ...(plan.cgroup ? cgroupArguments(plan.spec) : []),
    ...["--", ...plan.firecrackerArgs],
  ];
}

interface Bind {
  mode: "ro" | "rw";
  source: string;
  /** Absolute inside the jail. */
  name: string;
}

function binds({ spec, snapshot }: JailPlan): Bind[] {
  const inside = jailedPaths(spec, snapshot);
  const { log } = hostFiles(spec.runtimeDir);
  return [
    ...(snapshot && inside.snapshot
      ? [
          readOnly(snapshot.memoryPath, inside.snapshot.memoryPath),
          readOnly(snapshot.statePath, inside.snapshot.statePath),
        ]
      : [readOnly(spec.kernelPath, inside.kernel), readOnly(spec.initrdPath, inside.initrd)]),
    ...spec.drives.map((drive, index): Bind => {
      const name = `/${inside.drives[index]}`;
      return { mode: drive.readOnly ? "ro" : "rw", source: drive.path, name };
    }),
    { mode: "rw", source: log, name: inside.log },
    { mode: "rw", source: snapshotFolder(spec.logPath), name: JAILED_OUT },
  ];
}

function readOnly(source: string, name: string): Bind {
  return { mode: "ro", source, name };
}

function cgroupArguments({ cpus }: BootSpec): string[] {
  const pids = `pids.max=${cpus + EXTRA_THREADS}`;
  return ["--cgroup-version", "2", "--parent-cgroup", CGROUP_PARENT, "--cgroup", pids];
}

export function hasCgroups(root: string = CGROUP_ROOT): boolean {
  const path = join(root, "cgroup.controllers");
  return existsSync(path) && readFileSync(path, "utf8").split(/\s+/).includes("pids");
}

/** Where the jailer puts a machine. */
export function cgroupOf(id: string, root: string = CGROUP_ROOT): string {
  return join(root, CGROUP_PARENT, id);
}

/** The jailer leaves the machine's cgroup behind; it goes once nobody is in it. */
export function removeCgroup(id: string, root: string = CGROUP_ROOT): void {
  for (const path of [cgroupOf(id, root), join(root, CGROUP_PARENT)]) {
    try {
      rmdirSync(path);
    } catch {
      // It is not there, or other machines are in it.
    }
  }
}
