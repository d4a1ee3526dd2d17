/** Starts a machine's QEMU, in a jail where the host has one. */
import type { BootSpec, Snapshot } from "#vmm/driver.ts";
import { hostTsc_khz } from "#vmm/host.ts";
import { jailArguments } from "#vmm/jail/command.ts";
import { type JailKind, jailKind, jailProgram } from "#vmm/jail/program.ts";
import { JAIL_GID, jailUid, openToJails } from "#vmm/jail/user.ts";
import { openLogs } from "#vmm/logs.ts";
import { type Child, startDetached } from "#vmm/process.ts";
import { type CommandOptions, opensMemoryForWriting, qemuArguments } from "./command.ts";
import { Descriptors, handOver } from "./descriptors.ts";
import { type Notes, writeNotes } from "./notes.ts";
import { startPasst } from "./passt.ts";
import type { QemuProgram } from "./program.ts";

export interface LaunchOptions {
  qemu: QemuProgram;
  accelerator: CommandOptions["accelerator"];
  /** Path of the program, where the machine is connected by it. */
  passt: string | undefined;
  /** What it is restored from. */
  snapshot: Snapshot | undefined;
  /** Undefined: none. */
  jail: JailKind | undefined;
}

export interface Launched {
  child: Child;
  notes: Notes;
}

/** The kind of jail that machines get. */
export async function chooseJail({ jail }: { jail?: boolean }): Promise<JailKind | undefined> {
  return jail === false ? undefined : await jailKind();
}

export function launch(spec: BootSpec, options: LaunchOptions): Launched {
  const { qemu, accelerator, passt, snapshot, jail } = options;
  const hasOwnRoot = jail === "namespaces";
  const notes = { ...openLogs(spec), hasOwnRoot };
  writeNotes(spec.runtimeDir, notes);
  const outputs = { stdout: spec.logPath, stderr: spec.logPath };
  // Once it is started QEMU alone holds its end, and passt ends with QEMU.
  using cable = passt ? startPasst(passt, outputs) : undefined;
  using descriptors = new Descriptors();
  const program = jail && descriptors.lend(jailProgram());
  const cableFd = cable && descriptors.lend(cable.fd);
  const argv = [
    qemu.path,
    ...qemuArguments(spec, {
      accelerator,
      version: qemu.version,
      sandbox: qemu.sandbox,
      tsc_khz: hostTsc_khz(),
      cableFd,
      handed: hasOwnRoot ? handOver(spec, descriptors) : undefined,
      restoredMemory: snapshot?.memoryPath,
    }),
  ];
  const before = jail && program !== undefined ? jailOf(spec, { ...options, jail, program }) : [];
  const child = startDetached([...before, ...argv], outputs, {
    ...spec,
    isJail: jail !== undefined,
    makesSockets: true,
    fds: descriptors.fds,
  });
  return { child, notes };
}

interface Jailing extends LaunchOptions {
  jail: JailKind;
  program: number;
}

function jailOf(spec: BootSpec, { qemu, accelerator, passt, snapshot, jail, program }: Jailing) {
  const { network } = spec;
  const hasOwnRoot = jail === "namespaces";
  const shares = spec.shares ?? [];
  const isRoot = process.geteuid?.() === 0;
  // QEMU acts on the files of a shared directory as who it is, and root's machines as root.
  const keepsFiles = isRoot && shares.length > 0;
  const memory = snapshot ? [snapshot.memoryPath] : [];
  const writesMemory = opensMemoryForWriting(qemu.version);
  const booted = [spec.kernelPath, spec.initrdPath];
  const isOther = hasOwnRoot && isRoot && !keepsFiles;
  if (isOther) {
    for (const path of booted) openToJails(path);
    for (const path of memory) openToJails(path, { write: writesMemory });
  }
  const opensTap = network?.kind === "tap" && (network.namespacePid !== undefined || !hasOwnRoot);
  const usesNetwork = opensTap || (network?.kind === "user" && !passt);
  const named = hasOwnRoot ? { readOnly: [], writable: [] } : openedByName(spec);
  return jailArguments({
    kind: jail,
    program,
    base: spec.runtimeDir,
    readOnly: [
      ...qemu.folders,
      ...booted,
      ...(writesMemory ? [] : memory),
      ...(network?.kind === "user" && !passt ? ["/etc/resolv.conf"] : []),
      ...shares.filter(({ readOnly }) => readOnly).map(({ path }) => path),
      ...named.readOnly,
    ],
    writable: [
      ...(writesMemory ? memory : []),
      ...shares.filter(({ readOnly }) => !readOnly).map(({ path }) => path),
      ...named.writable,
    ],
    devices: [
      ...(accelerator === "kvm" ? ["/dev/kvm"] : []),
      ...(opensTap ? ["/dev/net/tun"] : []),
    ],
    user: isOther ? { uid: jailUid(spec.runtimeDir), gid: JAIL_GID } : undefined,
    keepsFiles,
    hasFolders: shares.length > 0,
    network: usesNetwork,
    endsWithUs: spec.endsWithUs ?? false,
  });
}

function openedByName({ runtimeDir, consolePath, drives }: BootSpec) {
  const paths = (readOnly: boolean) =>
    drives.filter((drive) => drive.readOnly === readOnly).map(({ path }) => path);
  return { readOnly: paths(true), writable: [runtimeDir, consolePath, ...paths(false)] };
}
