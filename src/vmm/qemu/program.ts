/** Finds the QEMU program and its version, and doctor's checks of it. */
import { realpathSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Check } from "#base/check.ts";
import { BangerError } from "#base/error.ts";
import { run, which } from "#base/run.ts";
import { kvmState } from "#vmm/host.ts";
import { isOfSystem } from "#vmm/jail/command.ts";
import { jailKind } from "#vmm/jail/program.ts";
import { SANDBOX } from "./command.ts";
import { findPasst, PASST_INSTALL_HINT } from "./passt.ts";

const PROGRAM = "qemu-system-x86_64";
export const INSTALL_HINT = "sudo apt-get install qemu-system-x86";
/** microvm became complete (ACPI, so that a guest can power off) in this version. */
const VERSION_MIN_MAJOR = 6;
/** A busy or emulated host takes seconds. */
const PROBE_TIMEOUT_MS = 60_000;

export interface QemuProgram {
  path: string;
  /** Such as "7.2.22". */
  version: string;
  /** Whether it was built with seccomp. */
  sandbox: boolean;
  /** Folders of its own that it needs to run, beside those of the system. */
  folders: string[];
}

const probed = new Map<string, QemuProgram>();

/** Finds QEMU and asks for its version, once for each file. `unsupported` with a hint. */
export async function findQemu(program: string = PROGRAM): Promise<QemuProgram> {
  const path = which(program);
  if (!path) {
    throw new BangerError("unsupported", `Cannot start a machine: "${program}" is not installed`, {
      hint: INSTALL_HINT,
    });
  }
  const { mtimeMs, ino } = statSync(path);
  const key = `${path} ${ino} ${mtimeMs}`;
  const known = probed.get(key) ?? (await probe(path));
  probed.set(key, known);
  return known;
}

export function isQemuInstalled(program: string = PROGRAM): boolean {
  return which(program) !== undefined;
}

export async function qemuChecks({ program, jail }: CheckOptions): Promise<Check[]> {
  const checks = [programCheck(program), jailCheck(jail), userNetworkCheck(program)] as const;
  const [found, confinement, network] = await Promise.all(checks);
  return [found, confinement, kvmCheck(), network];
}

interface CheckOptions {
  program?: string;
  jail?: boolean;
}

async function jailCheck(jail: boolean | undefined): Promise<Check> {
  const base = { id: "qemu.jail", title: "QEMU's jail" };
  if (jail === false) {
    return { ...base, status: "ok", detail: "disabled; QEMU runs with its seccomp filter only" };
  }
  const kind = await jailKind();
  if (kind === "namespaces") {
    const isRoot = process.geteuid?.() === 0;
    const who = isRoot ? "a user of its own for each machine" : "this user without capabilities";
    return { ...base, status: "ok", detail: `${who}, in a file system of its own` };
  }
  const fix = "Allow user namespaces: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0";
  const lack = "no user namespaces for ordinary users";
  if (kind === "landlock") {
    const detail = `${lack}: QEMU runs as this user, and Landlock refuses files that it does not need`;
    return { ...base, status: "ok", detail };
  }
  const detail = `${lack}, and no Landlock: QEMU runs with its seccomp filter only`;
  return { ...base, status: "warn", detail, fix };
}

async function programCheck(program: string | undefined): Promise<Check> {
  const base = { id: "qemu", title: "QEMU" };
  try {
    const { path, version } = await findQemu(program);
    const machines = await run([path, "-M", "help"], { timeout_ms: PROBE_TIMEOUT_MS });
    if (!/^microvm\b/m.test(machines.stdout)) {
      const detail = `${path} ${version} has no "microvm" machine`;
      return { ...base, status: "fail", detail, fix: INSTALL_HINT };
    }
    return { ...base, status: "ok", detail: `${path} ${version}` };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { ...base, status: "fail", detail, fix: INSTALL_HINT };
  }
}

/** What machines with --net user are connected by. */
async function userNetworkCheck(program: string | undefined): Promise<Check> {
  const base = { id: "net.user", title: "User-mode network" };
  const qemu = await findQemu(program).catch(() => undefined);
  const passt = qemu && (await findPasst(qemu));
  if (passt) return { ...base, status: "ok", detail: passt };
  const detail =
    "QEMU's built-in stack, which exposes the host's 127.0.0.1 to machines as 10.0.2.2; passt does not";
  return { ...base, status: "warn", detail, fix: PASST_INSTALL_HINT };
}

function kvmCheck(): Check {
  const { usable, reason, fix } = kvmState();
  const base = { id: "kvm", title: "KVM" };
  if (usable) return { ...base, status: "ok", detail: reason };
  const detail = `${reason}; machines are emulated, which is slower`;
  return { ...base, status: "warn", detail, fix };
}

/** For a program in PREFIX/bin also what is beside that. A folder as large as a home is not meant. */
function ownFolders(path: string): string[] {
  const folders = [path, realpathSync(path)].map((each) => dirname(each));
  const prefixes = folders.map((folder) => {
    const prefix = dirname(folder);
    return basename(folder) === "bin" && prefix.split("/").length > 2 ? prefix : folder;
  });
  return [...new Set(prefixes)].filter((folder) => !isOfSystem(folder) && folder !== "/");
}

async function probe(path: string): Promise<QemuProgram> {
  const probeOptions = { timeout_ms: PROBE_TIMEOUT_MS };
  // A QEMU built without seccomp refuses -sandbox before it gets to -version.
  const sandboxed = await run([path, "-sandbox", SANDBOX, "-version"], probeOptions);
  const sandbox = sandboxed.exitCode === 0;
  const { stdout, stderr } = sandbox ? sandboxed : await run([path, "-version"], probeOptions);
  const version = /version (\d+\.\d+(?:\.\d+)?)/.exec(stdout)?.[1];
  if (!version) {
    const text = `Cannot use "${path}": cannot detect its version: ${stderr.trim().slice(0, 300)}`;
    throw new BangerError("unsupported", text, { hint: INSTALL_HINT });
  }
  if (Number.parseInt(version, 10) < VERSION_MIN_MAJOR) {
    const text = `Cannot use "${path}": version ${version} is too old`;
    throw new BangerError("unsupported", text, {
      hint: `Install QEMU ${VERSION_MIN_MAJOR} or newer`,
    });
  }
  return { path, version, sandbox, folders: ownFolders(path) };
}
