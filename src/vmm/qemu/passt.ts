/**
 * passt, the user-mode network in a process of its own, confined by itself. Unlike QEMU's own stack it
 * need not make the gateway stand for this computer's loopback, so it is taken wherever it works.
 */
import { closeSync, statSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { createSocketPair } from "#base/libc.ts";
import { which } from "#base/run.ts";
import { type Child, INHERITED_FD, type OutputPaths, startDetached } from "#vmm/process.ts";

const PROGRAM = "passt";
export const PASST_INSTALL_HINT = "sudo apt-get install passt";
/** QEMU speaks to it by a network device that came with this version. */
const QEMU_SINCE = [7, 2] as const;
/** A busy or emulated host takes seconds. */
const PROBE_TIMEOUT_MS = 60_000;

/** As QEMU's own stack has it, so that a guest need not know which one it is on. */
const NETWORK = [
  ...["--ipv4-only", "--address", "10.0.2.15", "--netmask", "24", "--gateway", "10.0.2.2"],
  ...["--dns-forward", "10.0.2.3"],
  // The gateway would otherwise stand for this computer, its loopback included.
  "--no-map-gw",
];

/** One end of a cable, the other end of which passt holds; passt ends with the last holder of this one. */
export interface Cable extends Disposable {
  readonly fd: number;
}

/** The program's path; undefined where it is missing or does not work here, as without user namespaces. */
export async function findPasst({ version }: { version: string }): Promise<string | undefined> {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [sinceMajor, sinceMinor] = QEMU_SINCE;
  if (major < sinceMajor || (major === sinceMajor && minor < sinceMinor)) return undefined;
  const path = which(PROGRAM);
  if (!path) return undefined;
  const { mtimeMs, ino } = statSync(path);
  const key = `${path} ${ino} ${mtimeMs}`;
  const known = probed.get(key) ?? (await works(path));
  probed.set(key, known);
  return known ? path : undefined;
}

const probed = new Map<string, boolean>();

/** Starts it for one machine; it outlives this process as long as the machine does. */
export function startPasst(path: string, outputs: OutputPaths): Cable {
  const { cable, child } = start(path, outputs);
  child.unref();
  return cable;
}

/** One whose cable is cut at once ends well, unless it could not even begin. */
async function works(path: string): Promise<boolean> {
  const { cable, child } = start(path, { stdout: "/dev/null", stderr: "/dev/null" });
  cable[Symbol.dispose]();
  const timer = setTimeout(() => child.kill("SIGKILL"), PROBE_TIMEOUT_MS);
  const status = await child.exited;
  clearTimeout(timer);
  return status === 0;
}

function start(path: string, outputs: OutputPaths): { cable: Cable; child: Child } {
  const [ours, theirs] = socketPair();
  try {
    const argv = [path, "--foreground", "--quiet", "--fd", String(INHERITED_FD), ...NETWORK];
    const child = startDetached(argv, outputs, { fds: [theirs] });
    return { child, cable: { fd: ours, [Symbol.dispose]: () => closeSync(ours) } };
  } catch (error) {
    closeSync(ours);
    throw error;
  } finally {
    closeSync(theirs);
  }
}

function socketPair(): [number, number] {
  const pair = createSocketPair();
  if (pair) return pair;
  throw new BangerError("internal", "Cannot start the machine: too many open files");
}
