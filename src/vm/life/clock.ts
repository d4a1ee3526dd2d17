/** Corrects guest clocks: they stand still while the host sleeps, and drift under emulation. */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type { Accelerator } from "#vmm/driver.ts";

const log = getLogger(["banger", "vm"]);

const LOOK_INTERVAL_MS = 5000;
/** The time of day is set by less than this without anybody having slept. */
const JUMP_MS = 1000;
/** A guest whose clock is off by less keeps it: it may have a better source of its own. */
const TOLERANCE_MS = 1000;
const NS_PER_MS = 1_000_000n;
/** An emulated clock has been seen to lose 6 s in a minute. */
const KEEP_INTERVAL_MS = { tcg: 10_000, kvm: 60_000 };

/**
 * Gives the guest the host's time where it has another. On a busy host it may take seconds to answer: it has read its
 * clock somewhere on the way, and will set it as late as that.
 */
export async function syncClock(agent: Agent): Promise<void> {
  const asked_ms = Date.now();
  const { time_unix_ns } = await agent.health();
  const oneWay_ms = (Date.now() - asked_ms) / 2;
  const ahead_ms = Math.round(Number(time_unix_ns / NS_PER_MS) - (asked_ms + oneWay_ms));
  if (Math.abs(ahead_ms) < TOLERANCE_MS + oneWay_ms) return;
  await agent.setTime(BigInt(Math.round(Date.now() + oneWay_ms)) * NS_PER_MS);
  log.info("a guest's clock was {ahead_ms} ms ahead and is set", { ahead_ms });
}

/** Syncs the clock now and from time to time, for as long as the connection lives. */
export function keepClock(
  agent: Agent,
  accelerator: Accelerator,
  interval_ms = KEEP_INTERVAL_MS[accelerator],
): void {
  let isBusy = false;
  const sync = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    try {
      await syncClock(agent);
    } catch (error) {
      log.debug("clock: {message}", { message: messageOf(error) });
    } finally {
      isBusy = false;
    }
  };
  void sync();
  const timer = setInterval(sync, interval_ms).unref();
  void agent.closed.then(() => clearInterval(timer));
}

/** The machines, as far as their clocks go. */
interface Machines {
  list(): readonly { id: string; name: string; state: string }[];
  readonly guests: { agent(id: string, purpose: string): Promise<Agent> };
}

/** Those of all machines that run, each for itself. */
export async function syncClocks(vms: Machines): Promise<void> {
  const running = vms.list().filter(({ state }) => state === "running");
  await Promise.all(
    running.map(async ({ id, name }) => {
      try {
        await syncClock(await vms.guests.agent(id, "set the clock of"));
      } catch (error) {
        log.warn("cannot set the clock of {name}: {message}", { name, message: messageOf(error) });
      }
    }),
  );
}

interface Clocks {
  /** The time of day. */
  now_ms: () => number;
  /** One that stands still while the host sleeps, and that nobody sets. */
  steady_ms: () => number;
}

const hostClocks: Clocks = { now_ms: () => Date.now(), steady_ms: () => performance.now() };

/** Calls when the time of day has gone on without the steady clock: after a sleep, or when it was set. */
export function watchClock(
  onJump: () => void,
  { now_ms, steady_ms }: Clocks = hostClocks,
  interval_ms = LOOK_INTERVAL_MS,
): Disposable {
  let offset_ms = now_ms() - steady_ms();
  const timer = setInterval(() => {
    const now_offset_ms = now_ms() - steady_ms();
    if (Math.abs(now_offset_ms - offset_ms) > JUMP_MS) onJump();
    offset_ms = now_offset_ms;
  }, interval_ms);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
