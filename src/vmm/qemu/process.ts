/** Starting QEMU so that it outlives us, and finding it again. */
import { closeSync, openSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BangerError } from "#base/error.ts";
import { argumentsOf, identify, isRunning, type ProcessIdentity } from "#vmm/identity.ts";
import { socketPaths } from "./command.ts";

const GONE_TIMEOUT_MS = 10_000;

export type Child = Bun.Subprocess<"ignore", number, number>;

/** Starts a program in a session of its own, with its output appended to `logPath`. */
export function startDetached(argv: readonly string[], logPath: string): Child {
  const log = openSync(logPath, "a", 0o600);
  try {
    return Bun.spawn([...argv], {
      stdio: ["ignore", log, log],
      detached: true,
      cwd: "/",
      env: { LC_ALL: "C" },
    });
  } finally {
    closeSync(log);
  }
}

/** Whether the process is a QEMU that keeps its sockets in `runtimeDir`. */
export function belongsTo(pid: number, runtimeDir: string): boolean {
  const { qmp } = socketPaths(runtimeDir);
  const wanted = `unix:${qmp.replaceAll(",", ",,")},`;
  return argumentsOf(pid).some((argument) => argument.startsWith(wanted));
}

/** Every QEMU that keeps its sockets in `runtimeDir`, for when its pid was never written down. */
export function findStrays(runtimeDir: string): ProcessIdentity[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => belongsTo(pid, runtimeDir))
    .flatMap((pid) => identify(pid) ?? []);
}

/** Resolves when the process is gone; looks every 5 ms at first, later once a second. */
export async function untilGone(process: ProcessIdentity, signal?: AbortSignal): Promise<void> {
  for (let pause_ms = 5; isRunning(process) && !signal?.aborted; pause_ms *= 2) {
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
    throw new BangerError("permission_denied", `Cannot end process ${target.pid}`, { cause });
  }
  await untilGone(target, AbortSignal.timeout(GONE_TIMEOUT_MS));
  if (isRunning(target)) {
    throw new BangerError("timeout", `Cannot end process ${target.pid}: it does not go away`);
  }
}
