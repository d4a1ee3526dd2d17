/**
 * The lifecycle of machines, from creation to removal: which operation is allowed in which state, and what
 * follows from it. Operations on one machine run one after another, those on different machines in parallel;
 * only `kill` and a forced removal do not wait.
 */
import type { VmHealth } from "#api/health.ts";
import { orAborted, throwIfAborted } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { Checks } from "#vm/checks.ts";
import type { VmDeps } from "#vm/deps.ts";
import type { Events } from "#vm/events.ts";
import { makeFolder } from "#vm/folder.ts";
import { isAsleep, requireState } from "#vm/machine.ts";
import type { MachinePorts } from "#vm/network/ports.ts";
import { resumeStreams } from "#vm/network/resume.ts";
import { findVm, getVm, type VmChange, type VmRecord } from "#vm/records.ts";
import { States } from "#vm/states.ts";
import { Suspension } from "#vm/suspend/suspension.ts";
import type { Machine } from "#vmm/driver.ts";
import type { BootOptions } from "./boot.ts";
import { isBusyInside } from "./idle.ts";
import { assertHere, type EndOptions, endIfElsewhere } from "./owner.ts";
import { OperationQueue } from "./queue.ts";
import { Removal } from "./removal.ts";
import type { Commands, MakeOptions, StartOptions, StopOptions } from "./requests.ts";
import { type RunningMachine, RunningMachines } from "./running-machines.ts";
import { inBackground, Schedule } from "./schedule.ts";
import { powerOff } from "./shutdown.ts";

export class Lifecycle {
  readonly #deps: VmDeps;
  readonly #states: States;
  readonly #machines: RunningMachines;
  readonly #schedule: Schedule;
  readonly #suspension: Suspension;
  readonly #checks: Checks;
  readonly #commands: Commands;
  /** Machines whose stop waits for its turn: a start that was to come before it does not begin. */
  readonly #toBeStopped = new Set<string>();
  readonly #queue = new OperationQueue();
  readonly removal: Removal;

  constructor(deps: VmDeps, events: Events, commands: Commands) {
    this.#deps = deps;
    this.#commands = commands;
    this.#states = new States(deps, events);
    this.#machines = new RunningMachines(deps, this.#states, {
      onRunning: (id) => {
        this.#schedule.watchIdle(id);
        this.#checks.watch(id);
      },
      onSuspended: (id) => this.#schedule.ended(id),
      awake: (id, signal) => this.awake(id, signal),
      onEnded: (vm, { isToRunAgain }) => {
        this.#schedule.ended(vm.id);
        if (isToRunAgain) this.#schedule.startAgain(vm);
        // Not at once: it has its turn while it is being stopped.
        if (vm.spec.ephemeral)
          queueMicrotask(() => inBackground(vm.id, this.removal.remove(vm.id)));
      },
    });
    this.#suspension = new Suspension(deps, this.#states, this.#machines);
    this.#checks = new Checks(deps, this.#states, this.#machines);
    this.#schedule = new Schedule(deps.db, {
      removeOld: (id) => this.removal.remove(id, { force: true }),
      startAgain: (id) => this.#startAgain(id),
      stopIdle: (id) => this.stop(id),
      suspendIdle: (id) => this.#suspendIdle(id),
      idle_ms: (id) => this.#machines.get(id)?.idle.idle_ms(),
      isBusyInside: async (id) => {
        const running = this.#machines.get(id);
        return running !== undefined && (await isBusyInside(running.link));
      },
    });
    this.removal = new Removal(deps, {
      states: this.#states,
      machines: this.#machines,
      schedule: this.#schedule,
      queue: this.#queue,
    });
  }

  /** Runs `work` between the machine's other operations, which it may need to call. */
  async inTurn<T>(id: string, work: () => Promise<T>): Promise<T> {
    return await this.#queue.run(id, work);
  }

  /** Counts `work` as one of the machine's operations, without waiting for the others. */
  async whileBusy<T>(id: string, work: () => Promise<T>): Promise<T> {
    return await this.#queue.hold(id, work);
  }

  /** Undefined when the machine has no process. */
  running(id: string): RunningMachine | undefined {
    return this.#machines.get(id);
  }

  /** The ports of machines that run. */
  get ports(): MachinePorts {
    return this.#machines.ports;
  }

  /** Changes the record along the table of states. */
  change(id: string, change: VmChange): VmRecord {
    return this.#states.set(id, change);
  }

  /** A change of settings, which may change when the machine is stopped or removed. */
  configure(id: string, change: Pick<VmChange, "spec" | "name">): VmRecord {
    const next = this.#states.set(id, change);
    this.#schedule.watchAge(id);
    if (next.state === "running") this.#schedule.watchIdle(id);
    return next;
  }

  /** Makes the machine be removed when it has reached its age. */
  watchAge(id: string): void {
    this.#schedule.watchAge(id);
  }

  /** Starts the machine after a pause, and again when that fails. */
  startLater(vm: VmRecord): void {
    this.#schedule.startAgain(vm);
  }

  async health(id: string, signal?: AbortSignal): Promise<VmHealth> {
    return await this.#checks.health(id, signal);
  }

  /** Ends the process at once and cleans up after it; for whoever has the machine's turn. */
  async end(running: RunningMachine): Promise<void> {
    await this.#machines.end(running);
  }

  /** The directory and disk of a machine whose record has just been created. */
  async make(id: string, options: MakeOptions = {}): Promise<void> {
    const isComplete = options.disk !== undefined && !options.isToBeUndone;
    await this.#queue.run(id, async () => {
      await makeFolder(this.#deps, getVm(this.#deps.db, id), options);
      this.#states.set(id, { state: "stopped", ...(isComplete ? { intent: null } : {}) });
    });
    this.#schedule.watchAge(id);
  }

  async start(id: string, options: StartOptions): Promise<void> {
    this.#schedule.cancelStart(id);
    await this.#queue.run(id, async () => {
      await options.prepare?.();
      await this.#startNow(id, options);
    });
  }

  /** Nothing if a user has started, stopped or removed the machine since its last end. */
  async #startAgain(id: string): Promise<void> {
    await this.#queue.run(id, async () => {
      const vm = findVm(this.#deps.db, id);
      if (vm?.state === "stopped" && vm.intent === "run") await this.#startNow(id, {});
    });
  }

  async #startNow(id: string, options: BootOptions): Promise<void> {
    const vm = getVm(this.#deps.db, id);
    // Two who start it at once both get what they want.
    if (vm.state === "running") return;
    throwIfAborted(options.signal);
    if (vm.state === "suspended") return await this.#wakeNow(vm, options);
    requireState(vm, "start", ["stopped"]);
    if (this.#toBeStopped.has(id)) {
      throw new BangerError("cancelled", `start of "${vm.name}" cancelled`);
    }
    await this.#machines.boot(vm, options);
    try {
      await this.#commands.begin(id, options.signal);
    } catch (error) {
      const running = this.#machines.get(id);
      this.#states.set(id, { intent: null });
      if (running) await this.#machines.end(running);
      throw error;
    }
  }

  /** Where its memory cannot be used it boots, with a warning. Others may wait for it too: nobody calls it off by leaving. */
  async #wakeNow(vm: VmRecord, { onProgress }: BootOptions): Promise<void> {
    const warning = await this.#suspension.wake(vm, { onProgress });
    await this.#afterWake(vm.id, { warning, onProgress });
  }

  async #afterWake(id: string, outcome: BootOptions & { warning: string | undefined }) {
    const { warning, onProgress } = outcome;
    if (!warning) return inBackground(id, this.#commands.resume(id));
    await this.#startNow(id, { onProgress });
    this.#states.set(id, { warning });
  }

  /** Wakes the machine if it is suspended; those who ask for it at once wait for the same. */
  async awake(id: string, signal?: AbortSignal): Promise<void> {
    if (!isAsleep(getVm(this.#deps.db, id).state)) return;
    const work = this.#queue.run(id, async () => {
      if (isAsleep(getVm(this.#deps.db, id).state)) await this.#startNow(id, {});
    });
    await orAborted(work, signal);
  }

  async pause(id: string): Promise<void> {
    await this.#queue.run(id, () => this.#suspension.pause(id));
    this.#schedule.ended(id);
  }

  /** Lets a paused machine go on, or wakes a suspended one. */
  async resume(id: string, options: BootOptions): Promise<void> {
    await this.#queue.run(id, async () => {
      const vm = getVm(this.#deps.db, id);
      assertHere(vm, "resume", this.#deps.owner);
      requireState(vm, "resume", ["paused", "suspended", "running"]);
      if (vm.state !== "paused") return await this.#startNow(id, options);
      await this.#suspension.unpause(id);
      this.#schedule.watchIdle(id);
    });
  }

  async suspend(id: string, options: BootOptions): Promise<void> {
    await this.#queue.run(id, () => this.#suspension.suspend(id, options));
  }

  async #suspendIdle(id: string): Promise<void> {
    try {
      await this.suspend(id, {});
    } catch (error) {
      const warning = `Cannot suspend the idle machine: ${messageOf(error)}`;
      if (this.#machines.get(id)) this.#states.set(id, { warning });
      this.#schedule.watchIdle(id);
      throw error;
    }
  }

  /**
   * Asks the guest to power off, waits `grace_ms`, then ends the process; a start that is under way is
   * called off. A stopped machine stays stopped. When it is called off meanwhile the process is left alone; the guest may end all the same.
   */
  async stop(id: string, { signal, ...options }: StopOptions = {}): Promise<void> {
    const grace_ms = options.grace_ms ?? this.#deps.config.values["vm.stop_grace"];
    throwIfAborted(signal);
    this.#toBeStopped.add(id);
    // A guest that has not come up has nothing to shut down in order; one that wakes has.
    if (getVm(this.#deps.db, id).state !== "waking") this.#machines.starting(id)?.abort();
    await this.#queue.run(id, async () => {
      this.#toBeStopped.delete(id);
      throwIfAborted(signal);
      if (await this.#endElsewhere(id, { isAtOnce: false, signal })) return;
      this.#schedule.cancelStart(id);
      const { state: before } = this.#states.set(id, { intent: null });
      if (before === "suspended") await this.#suspension.discard(id);
      const running = this.#machines.get(id);
      if (!running) return;
      // What stands still cannot be asked.
      if (before === "paused") await this.#suspension.unpause(id);
      const { state } = getVm(this.#deps.db, id);
      if (state === "running") this.#states.set(id, { state: "stopping" });
      await this.#commands.stop(id, { grace_ms, signal });
      await powerOff(running, { grace_ms, signal });
      const isOver = await Promise.race([running.finished.then(() => true), Bun.sleep(0)]);
      if (isOver) return;
      if (!signal?.aborted) return await this.#machines.end(running);
      if (state === "running" && !running.isKilled) {
        this.#states.set(id, { state: "running", intent: "run" });
      }
      throwIfAborted(signal);
    });
  }

  /** The command that it was for has ended; whether it is started again is up to its policy. */
  async endWithCommand(id: string, running: RunningMachine): Promise<void> {
    await this.#queue.run(id, async () => {
      if (this.#machines.get(id) !== running) return;
      if (getVm(this.#deps.db, id).state === "running") this.#states.set(id, { state: "stopping" });
      await powerOff(running, { grace_ms: this.#deps.config.values["vm.stop_grace"] });
      if (this.#machines.get(id) === running) await this.#machines.end(running);
    });
  }

  /** False when no other process runs the machine. */
  async #endElsewhere(id: string, options: EndOptions): Promise<boolean> {
    return await endIfElsewhere(getVm(this.#deps.db, id), this.#deps.owner, options);
  }

  /** From now on this process runs the machine, which does not run. */
  takeOver(id: string): void {
    requireState(getVm(this.#deps.db, id), "start", ["stopped"]);
    if (this.#deps.owner) this.#states.set(id, { owner: this.#deps.owner });
  }

  /** Ends the process at once, also of a machine that is still starting. */
  async kill(id: string): Promise<void> {
    if (await this.#endElsewhere(id, { isAtOnce: true })) return;
    this.#schedule.cancelStart(id);
    const running = this.#machines.get(id);
    const starting = this.#machines.starting(id);
    const vm = getVm(this.#deps.db, id);
    if (!running && !starting) {
      requireState(vm, "kill", ["running", "paused", "suspended", "starting", "stopping"]);
    }
    this.#states.set(id, { intent: null });
    starting?.abort();
    if (running) await this.#machines.end(running);
    // Called off on its way up it is suspended again.
    if (!isAsleep(vm.state)) return;
    await this.#queue.run(id, async () => {
      if (findVm(this.#deps.db, id)?.state === "suspended") await this.#suspension.discard(id);
    });
  }

  /** Takes over a process of an earlier daemon; a boot that it was in the middle of goes on. */
  async adopt(vm: VmRecord, machine: Machine): Promise<RunningMachine> {
    const running = this.#machines.adopt(vm, machine);
    resumeStreams(this.#deps, vm, running.link);
    if (vm.state === "suspending") await this.#suspension.callOff(vm.id, running);
    if (vm.state === "starting") inBackground(vm.id, this.#resumeBoot(vm.id, running));
    if (vm.state === "waking") {
      await this.#afterWake(vm.id, { warning: await this.#suspension.resumeWake(vm, running) });
    }
    if (/^(running|paused|suspending)$/.test(vm.state)) {
      inBackground(vm.id, this.#commands.resume(vm.id));
    }
    return running;
  }

  async #resumeBoot(id: string, running: RunningMachine): Promise<void> {
    try {
      await this.#machines.resumeBoot(id, running);
      await this.#commands.begin(id);
    } catch (error) {
      const vm = findVm(this.#deps.db, id);
      if (vm?.intent === "create" && !this.#machines.get(id)) await this.removal.remove(id);
      throw error;
    }
  }

  /** Whether somebody works on it, or it runs or waits for its next try. */
  isAttended(id: string): boolean {
    return (
      this.#machines.get(id) !== undefined || this.#queue.isBusy(id) || this.#schedule.isToStart(id)
    );
  }

  /** Lets go of every machine without ending it, for the next daemon to adopt. */
  release(): void {
    this.#schedule.clear();
    this.#machines.release();
  }
}
