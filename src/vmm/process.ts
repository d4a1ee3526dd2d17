/** Starts, finds and kills VMM processes, which outlive the process that starts them. */
import { closeSync, openSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BangerError } from "#base/error.ts";
import { argumentsOf, identify, isRunning, type ProcessIdentity } from "#base/process-identity.ts";
import type { NetworkDevice } from "./driver.ts";

const GONE_TIMEOUT_MS = 10_000;
/** Of util-linux; it becomes the program that follows, so that pid and arguments are the program's own. */
const TIE = ["setpriv", "--pdeathsig", "KILL", "--"];

/**
 * Both of util-linux. A VMM needs none of the rights over the namespace that whoever enters it has, and without
 * them cannot change its rules; the tap is its user's.
 */
function enter(namespacePid: number): string[] {
  const into = ["--user", "--net", "--preserve-credentials", "--target", String(namespacePid)];
  return ["nsenter", ...into, "--"];
}
const WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];

/** The first one after the standard streams. */
export const INHERITED_FD = 3;

export type Child = Bun.Subprocess<"ignore", number, number>;

export interface ExitStatus {
  code: number | null;
  signal: string | number | null;
}

/** Signals by which someone ends a process, as opposed to those by which it fails. */
const ENDING_SIGNALS = new Set<unknown>(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"]);

export function wasEndedBySignal({ signal }: ExitStatus): boolean {
  return ENDING_SIGNALS.has(signal);
}

export function hasEnded(child: Child): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

export interface OutputPaths {
  stdout: string;
  stderr: string;
}

export interface StartOptions {
  /** Folder of an existing control group that it is started in. */
  cgroup?: string | undefined;
  /** It is killed when this process ends, however that ends. */
  endsWithUs?: boolean | undefined;
  /** It gives up its rights, and ties itself, by itself: a jail, for which it needs them. */
  isJail?: boolean | undefined;
  /** Working directory; default "/". */
  cwd?: string | undefined;
  /** What it makes is for this user alone. */
  makesSockets?: boolean;
  /** Of this process; the program finds them as its descriptors INHERITED_FD and following. */
  fds?: readonly number[] | undefined;
  /** What it is connected to: it is started in the namespaces of that. */
  network?: NetworkDevice | undefined;
}

/** Starts a program in a session of its own, with its output appended to the two files. */
export function startDetached(
  argv: readonly string[],
  paths: OutputPaths,
  { cgroup, endsWithUs, isJail, cwd = "/", makesSockets, fds = [], network }: StartOptions = {},
): Child {
  const namespacePid = network?.kind === "tap" ? network.namespacePid : undefined;
  // A process that enters namespaces is no longer tied to its parent.
  const before = [
    ...(namespacePid === undefined ? [] : enter(namespacePid)),
    ...(namespacePid === undefined || isJail ? [] : WITHOUT_RIGHTS),
    ...(endsWithUs && !isJail ? TIE : []),
  ];
  const stdout = openSync(paths.stdout, "a", 0o600);
  try {
    const stderr = openSync(paths.stderr, "a", 0o600);
    const umask = process.umask();
    if (makesSockets) process.umask(0o077);
    try {
      return Bun.spawn([...before, ...argv], {
        stdio: ["ignore", stdout, stderr, ...fds],
        detached: true,
        cwd,
        env: { LC_ALL: "C", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
        cgroup,
      });
    } finally {
      process.umask(umask);
      closeSync(stderr);
    }
  } finally {
    closeSync(stdout);
  }
}

/** Every process whose arguments satisfy `belongs`. */
export function findProcesses(belongs: (argv: string[]) => boolean): ProcessIdentity[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => belongs(argumentsOf(pid)))
    .flatMap((pid) => identify(pid) ?? []);
}

/** Ends every process whose arguments satisfy `belongs`; true if there was one. */
export async function killProcesses(belongs: (argv: string[]) => boolean): Promise<boolean> {
  const found = findProcesses(belongs);
  for (const each of found) await killProcess(each);
  return found.length > 0;
}

/** Resolves when the process is gone; looks after 1 ms at first, later once a second. */
export async function untilGone(process: ProcessIdentity, signal?: AbortSignal): Promise<void> {
  for (let pause_ms = 1; isRunning(process) && !signal?.aborted; pause_ms *= 2) {
    await sleep(Math.min(pause_ms, 1000), undefined, { ref: false });
  }
}

/** SIGKILL, and waits until the process is gone. */
export async function killProcess(target: ProcessIdentity): Promise<void> {
  if (!isRunning(target)) return;
  try {
    process.kill(target.pid, "SIGKILL");
  } catch (cause) {
    if (!isRunning(target)) return;
    throw new BangerError("permission_denied", `Cannot kill process ${target.pid}`, { cause });
  }
  await untilGone(target, AbortSignal.timeout(GONE_TIMEOUT_MS));
  if (isRunning(target)) {
    throw new BangerError("timeout", `Cannot kill process ${target.pid}: it is still running`);
  }
}

/** SIGKILL to a child of startDetached() and to all that it has started, and waits until they are gone. */
export async function killWithDescendants(child: Child): Promise<void> {
  const deadline = AbortSignal.timeout(GONE_TIMEOUT_MS);
  // Those that a child has left are in its session's group still.
  while (signalGroup(child.pid) && !deadline.aborted) await sleep(2);
  await child.exited;
}

/** False if no process is in the group. */
function signalGroup(leader: number): boolean {
  try {
    process.kill(-leader, "SIGKILL");
    return true;
  } catch {
    return false;
  }
}
