/**
 * Running machines, from the boot to the clean-up after the exit: started here, or adopted from an earlier
 * daemon. The lifecycle decides which is started or ended, and when.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { getLogger } from "@logtape/logtape";
import type { VmExit } from "#api/vm.ts";
import { BangerError, messageOf, toBangerError } from "#base/error.ts";
import { makeRoom } from "#vm/boot/room.ts";
import type { VmDeps } from "#vm/deps.ts";
import { MachinePorts } from "#vm/network/ports.ts";
import { expiryOf, getVm, type VmRecord } from "#vm/records.ts";
import type { States } from "#vm/states.ts";
import { discardSaved, isToWakeAgain } from "#vm/suspend/saved.ts";
import { UnusableMemory } from "#vm/suspend/unusable.ts";
import type { ExitReason, Machine } from "#vmm/driver.ts";
import { kvmState } from "#vmm/host.ts";
import {
  awaitReady,
  type BootOptions,
  cleanUp,
  type Launched,
  type LaunchOptions,
  launch,
} from "./boot.ts";
import { hostBootId } from "./boot-id.ts";
import { BootSlots } from "./boot-slots.ts";
import { exitError } from "./exit-error.ts";
import { IdleTracker } from "./idle.ts";
import { EarlyExit, MachineLink } from "./machine-link.ts";
import { isToRestart } from "./restart.ts";
import { detailOf } from "./shutdown.ts";
import { Starting } from "./starting.ts";

const log = getLogger(["banger", "vm"]);

/** A guest that has not greeted by then keeps no other one from booting. */
const SLOT_MAX_MS = 30_000;
/** A machine whose memory is there answers in less than a second, on any host that is not overloaded. */
const WAKE_MAX_MS = 60_000;

/** A machine with a process, and the promise of its exit, resolved after the clean-up. */
export interface RunningMachine {
  readonly link: MachineLink;
  /** Resolves after the record says `stopped` and nothing is held any more. */
  readonly finished: Promise<VmExit>;
  /** Set before the process is ended on purpose, so that the record says so. */
  isKilled: boolean;
  /** Set before the process is ended because all of it is on disk. */
  isSuspended: boolean;
  /** How the command ended that the machine is for. */
  status: number | undefined;
  readonly idle: IdleTracker;
}

/** What follows from a machine's life, and is not part of it. */
interface Listener {
  /** Wakes it if it is suspended. */
  awake: (id: string, signal?: AbortSignal) => Promise<void>;
  /** It is ready, or runs although it could not be set up. */
  onRunning: (id: string) => void;
  /** Its record says `suspended`. */
  onSuspended: (id: string) => void;
  /** Its record says `stopped`. */
  onEnded: (vm: VmRecord, outcome: { isToRunAgain: boolean }) => void;
}

export class RunningMachines {
  readonly #deps: VmDeps;
  readonly #states: States;
  readonly #listener: Listener;
  readonly #machines = new Map<string, RunningMachine>();
  readonly ports: MachinePorts;
  readonly #starting = new Map<string, Starting>();
  readonly #slots = new BootSlots();

  constructor(deps: VmDeps, states: States, listener: Listener) {
    this.#deps = deps;
    this.#states = states;
    this.#listener = listener;
    this.ports = new MachinePorts({ db: deps.db, states }, async (id, signal) => {
      await listener.awake(id, signal);
      return this.#machines.get(id);
    });
  }

  /** Undefined when the machine has no process. */
  get(id: string): RunningMachine | undefined {
    return this.#machines.get(id);
  }

  /** Undefined when the machine is not on its way up. */
  starting(id: string): Starting | undefined {
    return this.#starting.get(id);
  }

  /** From `stopped` to `running`; back again when that fails, is called off, or takes too long. */
  async boot(vm: VmRecord, options: BootOptions): Promise<void> {
    await this.#whileStarting(vm.id, options, async (starting) => {
      const running = await this.#launch(vm, starting, options);
      await this.#untilReady(vm, running, { starting, onProgress: options.onProgress });
    });
  }

  /**
   * From `suspended` to `running`; back again when that fails and memory and disk are as they were. `UnusableMemory`
   * when it has to boot instead, for which it is stopped where it had a process already.
   */
  async wake(vm: VmRecord, options: LaunchOptions): Promise<void> {
    await this.#whileWaking(vm.id, options, async (starting) => {
      const running = await this.#launch(vm, starting, options);
      await this.#untilAwake(vm, running, starting);
    });
  }

  /** Goes on with that for a machine that was taken over. */
  async resumeWake(vm: VmRecord, running: RunningMachine): Promise<void> {
    await this.#whileWaking(vm.id, {}, (starting) => this.#untilAwake(vm, running, starting));
  }

  async #untilAwake(vm: VmRecord, running: RunningMachine, starting: Starting): Promise<void> {
    await this.#untilReady(vm, running, { starting }).catch((error) => {
      const { code, message } = toBangerError(error);
      const isBack = getVm(this.#deps.db, vm.id).state === "suspended";
      if (code === "cancelled" || isBack) throw error;
      throw new UnusableMemory(message, { cause: error });
    });
  }

  async #whileWaking(
    id: string,
    options: BootOptions,
    work: (starting: Starting) => Promise<void>,
  ): Promise<void> {
    const timeout_ms = Math.min(WAKE_MAX_MS, this.#deps.config.values["vm.boot_timeout"]);
    await this.#whileStarting(id, { ...options, timeout_ms }, work);
  }

  /** Takes over a process of an earlier daemon. */
  adopt({ id, state }: VmRecord, machine: Machine): RunningMachine {
    const running = this.#track(id, machine);
    void this.ports.reopen(id);
    if (state !== "running") return running;
    this.#states.set(id, { intent: "run" });
    this.#listener.onRunning(id);
    return running;
  }

  /** Goes on with the boot of a machine that was taken over: the guest tells its phases again to every host that connects. */
  async resumeBoot(id: string, running: RunningMachine): Promise<void> {
    const vm = getVm(this.#deps.db, id);
    await this.#whileStarting(id, {}, (starting) => this.#untilReady(vm, running, { starting }));
  }

  /** Ends the process at once and cleans up after it. */
  async end(running: RunningMachine): Promise<void> {
    running.isKilled = true;
    await running.link.machine.kill();
    await running.finished;
  }

  /** Lets go of every machine without ending it. */
  release(): void {
    for (const { link } of this.#machines.values()) link.machine.release();
  }

  /** Gives `work` what ends it early. */
  async #whileStarting(
    id: string,
    {
      signal,
      timeout_ms = this.#deps.config.values["vm.boot_timeout"],
    }: BootOptions & { timeout_ms?: number },
    work: (starting: Starting) => Promise<void>,
  ): Promise<void> {
    using starting = new Starting({ timeout_ms, signal });
    this.#starting.set(id, starting);
    try {
      await work(starting);
    } finally {
      this.#starting.delete(id);
    }
  }

  async #launch(
    before: VmRecord,
    starting: Starting,
    { onProgress, memory, from }: LaunchOptions,
  ): Promise<RunningMachine> {
    const { id, name } = before;
    const { cgroups } = this.#deps;
    const held = { hostBootId: hostBootId(), cgroup: cgroups && join(cgroups, id) };
    const { pending: _, started: __, ...spec } = before.spec;
    const vm = memory
      ? asStarted(this.#states.set(id, { state: "waking", runtime: held }))
      : this.#states.set(id, { state: "starting", spec, runtime: held, exit: null, warning: null });
    let launched: Launched;
    let leaveSlot = (): void => {};
    try {
      const isBoot = !memory && (!from || from === "disk");
      if (isBoot) leaveSlot = await this.#bootSlot(name, starting, onProgress);
      await this.ports.open(id);
      await makeRoom(this.#deps, vm);
      const { signal } = starting;
      const extend = () => starting.extend();
      launched = await launch(this.#deps, vm, { onProgress, memory, from, signal, extend });
    } catch (error) {
      leaveSlot();
      if (!memory) await this.ports.close(id);
      this.#states.set(id, { state: memory ? "suspended" : "stopped", runtime: null });
      throw starting.reason(name, expiryOf(vm)) ?? toBangerError(error);
    }
    const { machine, runtime } = launched;
    const startedAt = memory ? {} : { startedAt: new Date().toISOString() };
    this.#states.set(id, { runtime: { ...held, ...runtime }, ...startedAt });
    const running = this.#track(id, machine);
    const greeting = running.link.agent(starting.signal, { isBooting: true }).catch(() => {});
    const isLate = sleep(SLOT_MAX_MS, undefined, { ref: false });
    void Promise.race([greeting, running.finished, isLate]).then(leaveSlot);
    return running;
  }

  /** Held until the guest's agent greets: what it installs and starts then mostly waits for something. */
  async #bootSlot(
    name: string,
    { signal }: Starting,
    onProgress: BootOptions["onProgress"],
  ): Promise<() => void> {
    if (kvmState().usable) return () => {};
    return await this.#slots.take(signal, () => {
      const message = `Waiting for other emulated machines to boot before ${name}`;
      onProgress?.({ step: "wait", message });
    });
  }

  /** `vm` is as it was before it started. */
  async #untilReady(
    vm: VmRecord,
    running: RunningMachine,
    { starting, onProgress }: { starting: Starting } & Pick<BootOptions, "onProgress">,
  ): Promise<void> {
    const { id } = vm;
    const { link } = running;
    try {
      await awaitReady(this.#deps, vm, { link, onProgress, signal: starting.signal });
      // It may be on its way out already.
      if (!isStarting(getVm(this.#deps.db, id))) return;
      this.#states.set(id, { state: "running", intent: "run" });
      // The VMM that was restored from it holds on to it.
      discardSaved(this.#deps.config.paths.vm(id).suspended);
      this.#listener.onRunning(id);
    } catch (error) {
      await this.#bootFailed(id, running, { error, starting });
    }
  }

  /** A guest that answers but could not set itself up is kept for a look; anything else is ended. */
  async #bootFailed(
    id: string,
    running: RunningMachine,
    { error, starting }: { error: unknown; starting: Starting },
  ): Promise<never> {
    const { link } = running;
    const vm = getVm(this.#deps.db, id);
    const givenUp = starting.reason(vm.name, expiryOf(vm));
    const isAlive = isStarting(vm) && !(error instanceof EarlyExit) && !givenUp;
    if (isAlive && error instanceof BangerError && error.code === "guest") {
      this.#states.set(id, { state: "running", warning: error.message, intent: "run" });
      this.#listener.onRunning(id);
      throw new BangerError("guest", error.message, {
        hint: `The machine is still running; debug it with: banger vm exec ${vm.name} -- sh`,
        cause: error,
      });
    }
    if (!(error instanceof EarlyExit)) {
      if (vm.state === "waking" && givenUp?.code !== "cancelled") await link.machine.kill();
      else await this.end(running);
    }
    const exit = await running.finished;
    if (givenUp) throw givenUp;
    if (!(error instanceof EarlyExit)) throw toBangerError(error);
    const doing = vm.state === "waking" ? "was woken" : "booted";
    throw exitError(vm.name, exit, { doing, isRemoved: vm.spec.ephemeral === true });
  }

  #track(id: string, machine: Machine): RunningMachine {
    const running: RunningMachine = {
      link: new MachineLink(machine),
      finished: machine.exited.then((reason) => this.#finish(id, reason)),
      isKilled: false,
      isSuspended: false,
      status: undefined,
      idle: new IdleTracker(),
    };
    this.#machines.set(id, running);
    return running;
  }

  /** The process is gone: gives back all that the machine held, and says how it ended. */
  async #finish(id: string, reason: ExitReason): Promise<VmExit> {
    const { db, config } = this.#deps;
    const vm = getVm(db, id);
    const running = this.#machines.get(id);
    const isKilled = running?.isKilled && reason.kind !== "poweroff";
    const exit: VmExit = {
      reason: isKilled ? "killed" : reason.kind,
      at: new Date().toISOString(),
      status: running?.status,
      ...detailOf(reason),
    };
    const isBack = isToWakeAgain(vm, reason, config.paths.vm(id));
    const isAsleep = (running?.isSuspended || isBack) === true && !running?.isKilled;
    const outcome = isAsleep ? "is suspended" : `ended: ${exit.reason}`;
    log.info("{name} {outcome}", { name: vm.name, outcome });
    // Whoever connects to a suspended one wakes it.
    if (!isAsleep) await this.ports.close(id);
    await cleanUp(this.#deps, vm).catch((error) =>
      log.error("cannot clean up after {name}: {message}", {
        name: vm.name,
        message: messageOf(error),
      }),
    );
    this.#machines.delete(id);
    if (isAsleep) {
      this.#states.set(id, { state: "suspended", runtime: null });
      this.#listener.onSuspended(id);
      return exit;
    }
    // Whoever has started a process in the foreground starts it again.
    const isToRunAgain = !vm.owner && isToRestart(getVm(db, id), exit);
    const intent = isToRunAgain || vm.intent === "create" ? {} : { intent: null };
    // One that was made for a command goes at once, and is nobody else's until then.
    const owner = vm.spec.ephemeral ? {} : { owner: null };
    const change = { runtime: null, exit, ...intent, ...owner };
    const ended = this.#states.set(id, { state: "stopped", ...change });
    this.#listener.onEnded(ended, { isToRunAgain });
    return exit;
  }
}

function isStarting({ state }: Pick<VmRecord, "state">): boolean {
  return state === "starting" || state === "waking";
}

/** As the machine is whose memory it is, whatever has been changed since for its next start. */
function asStarted(vm: VmRecord): VmRecord {
  const { name, ...spec } = vm.spec.started ?? { name: vm.name };
  return { ...vm, name, spec: { ...vm.spec, ...spec } };
}
