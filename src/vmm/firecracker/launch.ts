/** The command that starts Firecracker, plainly or in the jailer, and the files that it needs. */
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { BootSpec, Snapshot } from "#vmm/driver.ts";
import { JAIL_GID, jailUid } from "#vmm/jail/user.ts";
import { openLogs, touch } from "#vmm/logs.ts";
import type { OutputPaths } from "#vmm/process.ts";
import { cgroupOf, hasCgroups, jailCommand } from "./jail.ts";
import {
  driveName,
  hostFiles,
  jailedPaths,
  plainPaths,
  snapshotFolder,
  type VmmPaths,
} from "./layout.ts";
import { lend, planLoan } from "./lend.ts";
import { type Notes, writeNotes } from "./notes.ts";
import { findJailer, type Program } from "./program.ts";
import { identityOf, snapshotType } from "./snapshot.ts";

export interface LaunchOptions {
  serial: boolean;
  /** Name or path; false: never. */
  jailer: string | false | undefined;
  /** What it is restored from. */
  snapshot: Snapshot | undefined;
}

export interface Launch {
  argv: string[];
  /** Working directory. */
  cwd: string;
  outputs: OutputPaths;
  /** As Firecracker will see them. */
  paths: VmmPaths;
  notes: Notes;
}

/** The jailer that the machines of a user (default: this process's) get: as root the one that is installed, else none. */
export async function jailerFor(
  firecracker: Program,
  jailer: string | false | undefined,
  { uid = process.getuid?.() }: { uid?: number | undefined } = {},
): Promise<Program | undefined> {
  if (jailer === false || uid !== 0) return undefined;
  return await findJailer(firecracker, jailer);
}

/** Makes the files that Firecracker wants to find and writes the notes; undone by clearRuntime. */
export async function prepareLaunch(
  spec: BootSpec,
  firecracker: Program,
  options: LaunchOptions,
): Promise<Launch> {
  const jailer = await jailerFor(firecracker, options.jailer);
  const { log, jail } = hostFiles(spec.runtimeDir);
  touch(log);
  const { snapshot } = options;
  const notes: Notes = {
    id: spec.id,
    drives: spec.drives.length,
    snapshot: snapshotType(firecracker.version),
    origin: snapshot && identityOf(snapshot.memoryPath),
    ...openLogs(spec),
  };
  const paths = jailer ? jailedPaths(spec, snapshot) : plainPaths(spec, snapshot);
  // With a serial console its output is the guest's, so that Firecracker needs a log of its own.
  const outputs = {
    stdout: options.serial ? spec.consolePath : spec.logPath,
    stderr: spec.logPath,
  };
  const args = [
    ...["--api-sock", paths.apiSocket],
    ...(options.serial ? ["--log-path", paths.log, "--level", "Info", "--show-level"] : []),
  ];
  if (!jailer) {
    writeNotes(spec.runtimeDir, notes);
    for (const [index, { path }] of spec.drives.entries()) {
      symlinkSync(path, join(spec.runtimeDir, driveName(index)));
    }
    const argv = [firecracker.path, "--id", spec.id, ...args];
    return { argv, cwd: spec.runtimeDir, outputs, paths, notes };
  }
  mkdirSync(jail, { recursive: true, mode: 0o700 });
  const borrower = { uid: jailUid(spec.runtimeDir), gid: JAIL_GID };
  const cgroup = hasCgroups();
  const loan = planLoan(spec, [log]);
  // One that the caller has made is the caller's to remove: another process of the machine may follow.
  const isCallers = spec.cgroup === cgroupOf(spec.id);
  notes.jail = { cgroup: cgroup && !isCallers, loan: { files: loan.files, tap: loan.tap } };
  writeNotes(spec.runtimeDir, notes);
  lend(spec, loan, { to: borrower, snapshot });
  const out = snapshotFolder(spec.logPath);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { mode: 0o711 });
  const argv = jailCommand({
    spec,
    snapshot,
    firecracker: firecracker.path,
    jailer: jailer.path,
    firecrackerArgs: args,
    ...borrower,
    cgroup,
  });
  return { argv, cwd: "/", outputs, paths, notes };
}
