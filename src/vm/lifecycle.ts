/**
 * What happens to a machine from its first start to its removal, in one place: who may do
 * what in which state, what is held while it runs, and how all of it is given back. One
 * machine's operations run one after another, those of different machines side by side;
 * `kill` alone does not wait its turn.
 */
import { rmSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import type { VmExit } from "#api/vm.ts";
import { BangerError, messageOf, throwIfAborted, toBangerError } from "#base/error.ts";
import type { ExitReason, Machine } from "#vmm/driver.ts";
import { assertFits } from "./admission.ts";
import { awaitReady, type BootOptions, type Launched, launch, unlaunch } from "./boot.ts";
import type { VmDeps } from "./deps.ts";
import { endedError } from "./ended.ts";
import { askToPowerOff, detailOf } from "./ending.ts";
import type { Events } from "./events.ts";
import { makeFolder } from "./folder.ts";
import { hostBootId } from "./host.ts";
import { assertNotRunning, requireState } from "./machine.ts";
import { MachinePorts } from "./ports.ts";
import {
  deleteVm,
  expiryOf,
  findVm,
  getVm,
  listVms,
  updateVm,
  type VmChange,
  type VmRecord,
} from "./records.ts";
import { isToRestart, Pauses } from "./restart.ts";
import { EndedEarly, RunningVm } from "./running.ts";
import { Timers } from "./timers.ts";
import { Turns } from "./turns.ts";

const log = getLogger(["banger", "vm"]);

/** A machine whose process lives, and the promise that it has been cleaned up after. */
export interface Live {
  running: RunningVm;
  /** Resolves after the record says `stopped` and nothing is held any more. */
  finished: Promise<VmExit>;
  /** Set before the process is ended on purpose, so that the record says so. */
  isKilled: boolean;
}

export class Lifecycle {
  readonly #deps: VmDeps;
  readonly #events: Events;
  readonly #live = new Map<string, Live>();
  readonly #starting = new Map<string, AbortController>();
  /** Whoever works on a machine without the lifecycle's own calls takes part in it. */
  readonly turns = new Turns();
  readonly ports: MachinePorts;
  readonly #expiries = new Timers();
  readonly #restarts = new Timers();
  readonly #pauses = new Pauses();

  constructor(deps: VmDeps, events: Events) {
    this.#deps = deps;
    this.#events = events;
    this.ports = new MachinePorts(deps.db, (id) => this.#live.get(id)?.running);
  }

  /** The machine's process, undefined when there is none. */
  live(id: string): Live | undefined {
    return this.#live.get(id);
  }

  /** Changes the record, and tells of a new state. */
  set(id: string, change: VmChange): VmRecord {
    const vm = updateVm(this.#deps.db, getVm(this.#deps.db, id), change);
    if (change.state) {
      const exit = change.exit ? { exit: change.exit } : {};
      this.#events.publish({ id, name: vm.name, state: change.state, ...exit });
    }
    return vm;
  }

  /** The folder and disk of a machine that has just been entered. */
  async make(id: string): Promise<void> {
    await this.turns.run(id, async () => {
      await makeFolder(this.#deps, getVm(this.#deps.db, id));
      this.set(id, { state: "stopped" });
    });
    this.watchExpiry(id);
  }

  /** From now on a crash leaves the machine as it is. */
  keep(id: string): void {
    this.set(id, { intent: null });
  }

  async start(id: string, options: BootOptions): Promise<void> {
    this.#restarts.cancel(id);
    await this.turns.run(id, async () => {
      const vm = getVm(this.#deps.db, id);
      requireState(vm, "start", ["stopped"]);
      throwIfAborted(options.signal);
      const abort = new AbortController();
      this.#starting.set(id, abort);
      const signal = options.signal
        ? AbortSignal.any([options.signal, abort.signal])
        : abort.signal;
      try {
        await this.#start(vm, { ...options, signal });
      } finally {
        this.#starting.delete(id);
      }
    });
  }

  /** Asks the guest to power off, waits `grace_ms`, then ends the process. A stopped machine stays stopped. */
  async stop(id: string, grace_ms: number): Promise<void> {
    this.#restarts.cancel(id);
    await this.turns.run(id, async () => {
      const { state } = this.set(id, { intent: null });
      const live = this.#live.get(id);
      if (!live) return;
      if (state === "running") this.set(id, { state: "stopping" });
      await Promise.race([this.#powerOff(live), Bun.sleep(grace_ms)]);
      const isOver = await Promise.race([live.finished.then(() => true), Bun.sleep(0)]);
      if (!isOver) await this.end(live);
    });
  }

  /** Ends the process at once, also of a machine that is still starting. */
  async kill(id: string): Promise<void> {
    this.#restarts.cancel(id);
    const live = this.#live.get(id);
    const starting = this.#starting.get(id);
    if (!live && !starting) {
      requireState(getVm(this.#deps.db, id), "kill", ["running", "starting", "stopping"]);
    }
    this.set(id, { intent: null });
    starting?.abort();
    if (live) await this.end(live);
  }

  /** Removes a machine with its disk. `force` ends it first when it runs. */
  async remove(id: string, options: { force?: boolean } = {}): Promise<void> {
    if (options.force && findVm(this.#deps.db, id)) {
      this.#restarts.cancel(id);
      if (getVm(this.#deps.db, id).intent === "run") this.set(id, { intent: null });
      this.#starting.get(id)?.abort();
      const live = this.#live.get(id);
      if (live) await this.end(live);
    }
    await this.turns.run(id, async () => {
      const vm = findVm(this.#deps.db, id);
      if (!vm) return;
      assertNotRunning(vm);
      requireState(vm, "remove", ["stopped", "creating", "removing"]);
      await this.removeNow(vm);
    });
  }

  /** Lets go of every machine without ending it, for the next daemon to adopt. */
  release(): void {
    this.#expiries.clear();
    this.#restarts.clear();
    for (const { running } of this.#live.values()) running.machine.release();
  }

  async #start(vm: VmRecord, options: BootOptions & { signal: AbortSignal }): Promise<void> {
    const { id } = vm;
    const starting = this.set(id, {
      state: "starting",
      runtime: { hostBootId: hostBootId() },
      exit: null,
      warning: null,
    });
    let launched: Launched;
    try {
      await this.ports.open(id);
      assertFits(listVms(this.#deps.db), { vm: starting, folder: this.#deps.config.paths.vms });
      launched = await launch(this.#deps, starting, options);
    } catch (error) {
      await this.ports.close(id);
      this.set(id, { state: "stopped", runtime: null });
      throw toBangerError(error);
    }
    const { machine, runtime } = launched;
    this.set(id, { runtime, startedAt: new Date().toISOString() });
    await this.#untilReady(starting, this.#track(id, machine), options);
  }

  /** `vm` is as it was before it started. */
  async #untilReady(
    vm: VmRecord,
    live: Live,
    options: BootOptions & { signal: AbortSignal },
  ): Promise<void> {
    const { id } = vm;
    try {
      await awaitReady(this.#deps, vm, { ...options, running: live.running });
      // It may be on its way out already.
      const { state } = getVm(this.#deps.db, id);
      if (state === "starting") this.set(id, { state: "running", intent: "run" });
    } catch (error) {
      await this.#bootFailed(id, live, { error, signal: options.signal });
    }
  }

  /** A guest that answers but could not set itself up is kept for a look; anything else is ended. */
  async #bootFailed(
    id: string,
    live: Live,
    { error, signal }: { error: unknown; signal: AbortSignal },
  ): Promise<never> {
    const { db } = this.#deps;
    const vm = getVm(db, id);
    const isAlive = vm.state === "starting" && !(error instanceof EndedEarly) && !signal.aborted;
    if (isAlive && error instanceof BangerError && error.code === "guest") {
      this.set(id, { state: "running", warning: error.message, intent: "run" });
      throw new BangerError("guest", error.message, {
        hint: `The machine runs and can be looked into: banger vm exec ${vm.name} -- sh`,
        cause: error,
      });
    }
    if (!(error instanceof EndedEarly)) await this.end(live);
    const exit = await live.finished;
    if (signal.aborted)
      throw new BangerError("cancelled", `The start of "${vm.name}" was cancelled`);
    if (!(error instanceof EndedEarly)) throw toBangerError(error);
    throw endedError(vm.name, exit, "booted");
  }

  #track(id: string, machine: Machine): Live {
    const live: Live = {
      running: new RunningVm(machine),
      finished: machine.exited.then((reason) => this.#finish(id, reason)),
      isKilled: false,
    };
    this.#live.set(id, live);
    return live;
  }

  /** The process is gone: gives back all that the machine held, and says how it ended. */
  async #finish(id: string, reason: ExitReason): Promise<VmExit> {
    const { db, config } = this.#deps;
    const live = this.#live.get(id);
    const vm = getVm(db, id);
    const exit: VmExit = {
      reason: live?.isKilled && reason.kind !== "poweroff" ? "killed" : reason.kind,
      at: new Date().toISOString(),
      ...detailOf(reason, config.paths.vm(id).console),
    };
    log.info("{name} ended: {reason}", { name: vm.name, reason: exit.reason });
    await this.ports.close(id);
    await unlaunch(this.#deps, vm).catch((error) =>
      log.error("cannot clean up after {name}: {message}", {
        name: vm.name,
        message: messageOf(error),
      }),
    );
    this.#live.delete(id);
    const isAgain = isToRestart(getVm(db, id), exit.reason);
    const intent = isAgain || vm.intent === "create" ? {} : { intent: null };
    this.set(id, { state: "stopped", runtime: null, exit, ...intent });
    if (isAgain) this.startAgain(vm);
    if (vm.spec.ephemeral) queueMicrotask(() => void this.remove(id).catch(() => {}));
    return exit;
  }

  async #powerOff(live: Live): Promise<void> {
    if (await askToPowerOff(this.#deps.drivers, live.running)) await live.finished;
  }

  /** Ends the process at once and cleans up after it. */
  async end(live: Live): Promise<void> {
    live.isKilled = true;
    await live.running.machine.kill();
    await live.finished;
  }

  /** For whoever has the machine's turn. */
  async removeNow({ id, name, state }: VmRecord): Promise<void> {
    const { db, config } = this.#deps;
    const vm = state === "removing" ? getVm(db, id) : this.set(id, { state: "removing" });
    await unlaunch(this.#deps, vm);
    rmSync(config.paths.vm(id).folder, { recursive: true, force: true });
    deleteVm(db, id);
    this.#expiries.cancel(id);
    this.#restarts.cancel(id);
    this.#pauses.forget(id);
    this.#events.publish({ id, name, state: "removed" });
  }

  /** Removes the machine when it has reached its age. */
  watchExpiry(id: string): void {
    const expiry = expiryOf(getVm(this.#deps.db, id));
    if (!expiry) return;
    this.#expiries.set(id, Date.parse(expiry), () => {
      log.info("{id} has reached its age and is removed", { id });
      this.#inBackground(id, this.remove(id, { force: true }));
    });
  }

  /** After a pause, and again when that fails. */
  startAgain({ id, name, startedAt }: VmRecord): void {
    const pause_ms = this.#pauses.next_ms(id, startedAt);
    log.info("{name} is started again in {pause_ms} ms", { name, pause_ms });
    this.#restarts.set(id, Date.now() + pause_ms, () =>
      this.#inBackground(
        id,
        this.start(id, {}).catch(async (error) => {
          const vm = findVm(this.#deps.db, id);
          if (vm?.state === "stopped" && vm.intent === "run") this.startAgain(vm);
          throw error;
        }),
      ),
    );
  }

  /** For work that no client waits for. */
  #inBackground(id: string, work: Promise<unknown>): void {
    work.catch((error) => log.warn("{id}: {message}", { id, message: messageOf(error) }));
  }

  /** Takes over a process of an earlier daemon; a boot that it was in the middle of goes on. */
  adopt({ id, state }: VmRecord, machine: Machine): Live {
    const live = this.#track(id, machine);
    void this.ports.reopen(id);
    if (state === "running") this.set(id, { intent: "run" });
    if (state === "starting") this.#inBackground(id, this.#resumeBoot(id, live));
    return live;
  }

  /** Whether somebody works on it, or it runs or waits for its next try. */
  isAttended(id: string): boolean {
    return this.#live.has(id) || this.turns.isBusy(id) || this.#restarts.has(id);
  }

  /** The guest tells its phases again to every host that connects. */
  async #resumeBoot(id: string, live: Live): Promise<void> {
    const abort = new AbortController();
    this.#starting.set(id, abort);
    try {
      await this.#untilReady(getVm(this.#deps.db, id), live, { signal: abort.signal });
    } catch (error) {
      const vm = findVm(this.#deps.db, id);
      if (vm?.intent === "create" && !this.#live.has(id)) await this.remove(id);
      throw error;
    } finally {
      this.#starting.delete(id);
    }
  }
}
