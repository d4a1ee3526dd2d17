/** Timed actions on machines: expiry, idle stop, and restart after a failure. */
import type { Database } from "bun:sqlite";
import { getLogger } from "@logtape/logtape";
import { formatDuration } from "#base/duration.ts";
import { messageOf } from "#base/error.ts";
import { expiryOf, findVm, getVm, type VmRecord } from "#vm/records.ts";
import type { VmSpec } from "#vm/spec.ts";
import { RestartBackoff } from "./restart.ts";
import { Timers } from "./timers.ts";

const log = getLogger(["banger", "vm"]);

/** What the clock has done with a machine, by its id. */
export interface ScheduledActions {
  removeOld(id: string): Promise<void>;
  startAgain(id: string): Promise<void>;
  /** How long nobody has used it, undefined when it does not run. */
  idle_ms(id: string): number | undefined;
  /** Whether something goes on inside that nobody is counted for. */
  isBusyInside(id: string): Promise<boolean>;
  stopIdle(id: string): Promise<void>;
  suspendIdle(id: string): Promise<void>;
}

/** For work that no client waits for. */
export function inBackground(id: string, work: Promise<unknown>): void {
  work.catch((error) => log.warn("{id}: {message}", { id, message: messageOf(error) }));
}

/** Of two limits the one that is reached first counts; at the same time, the machine stops. */
export function idleLimit({
  idleStop_ms,
  idleSuspend_ms,
}: Pick<VmSpec, "idleStop_ms" | "idleSuspend_ms">): {
  limit_ms: number | undefined;
  action: "stop" | "suspend";
} {
  if (idleSuspend_ms && !(idleStop_ms && idleStop_ms <= idleSuspend_ms)) {
    return { limit_ms: idleSuspend_ms, action: "suspend" };
  }
  return { limit_ms: idleStop_ms, action: "stop" };
}

export class Schedule {
  readonly #db: Database;
  readonly #actions: ScheduledActions;
  readonly #expiries = new Timers();
  readonly #restarts = new Timers(() => performance.now());
  readonly #idle = new Timers(() => performance.now());
  readonly #backoff = new RestartBackoff();

  constructor(db: Database, actions: ScheduledActions) {
    this.#db = db;
    this.#actions = actions;
  }

  /** Removes the machine when it has reached its age. */
  watchAge(id: string): void {
    const expiry = expiryOf(getVm(this.#db, id));
    this.#expiries.cancel(id);
    if (!expiry) return;
    this.#expiries.set(id, Date.parse(expiry), () => {
      log.info("removing {id}: its ttl expired", { id });
      inBackground(id, this.#actions.removeOld(id));
    });
  }

  /** Stops or suspends the machine, which runs, when nobody has used it for as long as its description says. */
  watchIdle(id: string, in_ms?: number): void {
    const { name, spec } = getVm(this.#db, id);
    const { limit_ms, action } = idleLimit(spec);
    this.#idle.cancel(id);
    if (!limit_ms) return;
    const look = async (): Promise<void> => {
      const idle_ms = this.#actions.idle_ms(id);
      if (idle_ms === undefined) return;
      if (idle_ms < limit_ms) return this.watchIdle(id, limit_ms - idle_ms);
      if (await this.#actions.isBusyInside(id)) return this.watchIdle(id);
      const idle = formatDuration(idle_ms);
      log.info("{name} is idle for {idle}: {action}", { name, idle, action });
      if (action === "suspend") await this.#actions.suspendIdle(id);
      else await this.#actions.stopIdle(id);
    };
    this.#idle.setIn(id, in_ms ?? limit_ms, () => inBackground(id, look()));
  }

  /** Starts the machine after a pause, and again when that fails. */
  startAgain(vm: VmRecord): void {
    const { id, name } = vm;
    const pause_ms = this.#backoff.next_ms(id, vm);
    log.info("restarting {name} in {pause_ms} ms", { name, pause_ms });
    this.#restarts.setIn(id, pause_ms, () => inBackground(id, this.#tryAgain(id)));
  }

  async #tryAgain(id: string): Promise<void> {
    try {
      await this.#actions.startAgain(id);
    } catch (error) {
      const vm = findVm(this.#db, id);
      if (vm?.state === "stopped" && vm.intent === "run") this.startAgain(vm);
      throw error;
    }
  }

  isToStart(id: string): boolean {
    return this.#restarts.has(id);
  }

  cancelStart(id: string): void {
    this.#restarts.cancel(id);
  }

  /** The machine has ended. */
  ended(id: string): void {
    this.#idle.cancel(id);
  }

  /** The machine is no more. */
  forget(id: string): void {
    for (const timers of [this.#expiries, this.#restarts, this.#idle]) timers.cancel(id);
    this.#backoff.forget(id);
  }

  clear(): void {
    for (const timers of [this.#expiries, this.#restarts, this.#idle]) timers.clear();
  }
}
