/** The process that runs a machine, where that is `banger vm run --foreground` and not the daemon. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { throwIfAborted } from "#base/abort.ts";
import { assert } from "#base/assert.ts";
import { BangerError } from "#base/error.ts";
import { identify, isRunning } from "#base/process-identity.ts";
import { untilGone } from "#vmm/process.ts";
import { hostBootId } from "./boot-id.ts";

const END_TIMEOUT_MS = 120_000;
/** To a process in the foreground: restart the machine. SIGTERM and SIGQUIT end it, as for any service. */
export const RESTART_SIGNAL = "SIGUSR1";
const LOOK_MS = 100;

/** JSON-safe. */
export const owner = z.object({ pid: z.int(), startTime_ticks: z.int(), hostBootId: z.string() });
export type Owner = z.infer<typeof owner>;

interface Owned {
  name: string;
  owner: Owner | undefined;
}

export function thisProcess(): Owner {
  const identity = identify(process.pid);
  assert(identity, "this process runs");
  return { ...identity, hostBootId: hostBootId() };
}

/** Whether a process that lives has the machine and is not `self`; undefined is the daemon. */
export function isElsewhere({ owner }: Owned, self: Owner | undefined): boolean {
  if (!owner || owner.hostBootId !== hostBootId() || !isRunning(owner)) return false;
  return owner.pid !== self?.pid || owner.startTime_ticks !== self.startTime_ticks;
}

/** `conflict` when the machine is another process's. */
export function assertHere(vm: Owned, verb: string, self: Owner | undefined): void {
  if (!isElsewhere(vm, self)) return;
  throw new BangerError(
    "conflict",
    `Cannot ${verb} machine "${vm.name}": it runs in the foreground of process ${vm.owner?.pid}`,
    { hint: `Stop it with: banger vm stop ${vm.name}` },
  );
}

export interface EndOptions {
  isAtOnce: boolean;
  signal?: AbortSignal | undefined;
}

/** Ends a machine that another process than `self` runs; false when none does. */
export async function endIfElsewhere(
  vm: Owned,
  self: Owner | undefined,
  options: EndOptions,
): Promise<boolean> {
  if (!isElsewhere(vm, self)) return false;
  await endElsewhere(vm, options);
  return true;
}

/** Asks the process to end the machine and itself, or to do so `isAtOnce`, and waits until it has. */
async function endElsewhere({ name, owner }: Owned, options: EndOptions): Promise<void> {
  if (!owner) return;
  if (!send({ name, owner }, options.isAtOnce ? "SIGQUIT" : "SIGTERM")) return;
  const limit = AbortSignal.timeout(END_TIMEOUT_MS);
  await untilGone(owner, options.signal ? AbortSignal.any([limit, options.signal]) : limit);
  if (!isRunning(owner) || options.signal?.aborted) return;
  throw new BangerError(
    "timeout",
    `Cannot stop machine "${name}": process ${owner.pid} is still running`,
    { hint: `Kill it with: kill -KILL ${owner.pid}` },
  );
}

/** Has the process restart its machine, and waits until that `isBack`. */
export async function restartElsewhere(
  { name, owner }: Owned,
  options: { isBack: () => boolean; signal?: AbortSignal | undefined },
): Promise<void> {
  if (!owner) return;
  let isThere = send({ name, owner }, RESTART_SIGNAL);
  while (isThere && !options.isBack()) {
    throwIfAborted(options.signal);
    await sleep(LOOK_MS);
    isThere = isRunning(owner);
  }
  if (isThere) return;
  throw new BangerError(
    "unavailable",
    `Cannot restart machine "${name}": its foreground process ${owner.pid} has exited`,
    {
      hint: `Check the log of its service manager, or start it in the daemon: banger vm start ${name}`,
    },
  );
}

/** False when the process is gone. */
function send({ name, owner }: { name: string; owner: Owner }, signal: NodeJS.Signals): boolean {
  try {
    process.kill(owner.pid, signal);
    return true;
  } catch (cause) {
    if (!isRunning(owner)) return false;
    throw new BangerError(
      "permission_denied",
      `Cannot signal the process of machine "${name}": process ${owner.pid} belongs to another user`,
      { cause },
    );
  }
}
