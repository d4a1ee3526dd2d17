/** The command that starts Firecracker, plainly or in the jailer, and the files that it needs. */
import { mkdirSync } from "node:fs";
import type { BootSpec } from "#vmm/driver.ts";
import { openLogs, touch } from "#vmm/logs.ts";
import type { OutputPaths } from "#vmm/process.ts";
import { hasCgroups, JAIL_GID, jailCommand, jailUid } from "./jail.ts";
import { hostFiles, jailedPaths, plainPaths, type VmmPaths } from "./layout.ts";
import { lend, planLoan } from "./lend.ts";
import { type Notes, writeNotes } from "./notes.ts";
import { findJailer, type Program } from "./program.ts";

export interface LaunchOptions {
  serial: boolean;
  /** Name or path; false: never. */
  jailer: string | false | undefined;
}

export interface Launch {
  argv: string[];
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
  const { metrics, log, jail } = hostFiles(spec.runtimeDir);
  for (const path of [metrics, log]) touch(path);
  const notes: Notes = { id: spec.id, ...openLogs(spec) };
  const paths = jailer ? jailedPaths(spec) : plainPaths(spec);
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
    return { argv: [firecracker.path, "--id", spec.id, ...args], outputs, paths, notes };
  }
  mkdirSync(jail, { recursive: true, mode: 0o700 });
  const borrower = { uid: jailUid(spec.runtimeDir), gid: JAIL_GID };
  const cgroup = hasCgroups();
  const loan = planLoan(spec, [metrics, log]);
  notes.jail = { cgroup, loan: { files: loan.files, tap: loan.tap } };
  writeNotes(spec.runtimeDir, notes);
  lend(spec, loan, borrower);
  const argv = jailCommand({
    spec,
    firecracker: firecracker.path,
    jailer: jailer.path,
    firecrackerArgs: args,
    ...borrower,
    cgroup,
  });
  return { argv, outputs, paths, notes };
}
