/**
 * Machines that stand still: paused, with their memory where it is, or suspended, with their memory on disk and no
 * process. For whoever has the machine's turn.
 */
import { getLogger } from "@logtape/logtape";
import { BangerError, messageOf, toBangerError } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import { assertRoomFor, syncDisk } from "#vm/before-save.ts";
import type { VmDeps } from "#vm/deps.ts";
import { isImageKernel } from "#vm/image-boot.ts";
import type { BootOptions } from "#vm/life/boot.ts";
import { driverFor } from "#vm/life/choose-driver.ts";
import { syncClock } from "#vm/life/clock.ts";
import type { MachineLink } from "#vm/life/machine-link.ts";
import { assertHere } from "#vm/life/owner.ts";
import type { RunningMachine, RunningMachines } from "#vm/life/running-machines.ts";
import { requireState } from "#vm/machine.ts";
import { getVm, type VmRecord } from "#vm/records.ts";
import type { States } from "#vm/states.ts";
import { assertMemoryAlone } from "#vm/volumes/hold.ts";
import type { Driver, Machine } from "#vmm/driver.ts";
import { assertSameKind, discardSaved, readSaved, type SavedKind, saveMachine } from "./saved.ts";
import { UnusableMemory } from "./unusable.ts";

const log = getLogger(["banger", "vm"]);

const CLOCK_MAX_MS = 5000;

export class Suspension {
  readonly #deps: VmDeps;
  readonly #states: States;
  readonly #machines: RunningMachines;

  constructor(deps: VmDeps, states: States, machines: RunningMachines) {
    this.#deps = deps;
    this.#states = states;
    this.#machines = machines;
  }

  /** Stops the machine's processors. One that is paused stays so. */
  async pause(id: string): Promise<void> {
    const vm = this.#get(id, "pause");
    if (vm.state === "paused") return;
    requireState(vm, "pause", ["running"]);
    const { machine } = this.#running(vm).link;
    if (!machine.pause) throw unsupported("pause", vm, machine);
    // First: a machine that is recorded as running and stands still would be resumed by nobody.
    this.#states.set(id, { state: "paused" });
    try {
      await machine.pause();
    } catch (error) {
      this.#states.set(id, { state: "running" });
      throw error;
    }
  }

  /** Lets a paused machine go on, with the time of now. */
  async unpause(id: string): Promise<void> {
    const running = this.#running(this.#get(id, "resume"));
    await running.link.machine.resume?.();
    this.#states.set(id, { state: "running" });
    running.idle.touch();
    await setClock(running.link).catch((error) =>
      log.warn("cannot set the clock of {id}: {message}", { id, message: messageOf(error) }),
    );
  }

  /** Writes a machine that runs to its folder and ends its process. When that fails it runs on. */
  async suspend(id: string, { signal, onProgress }: WorkOptions = {}): Promise<void> {
    const vm = this.#get(id, "suspend");
    if (vm.state === "suspended") return;
    requireState(vm, "suspend", ["running", "paused"]);
    const running = this.#running(vm);
    const { machine } = running.link;
    const driver = this.#assertSuspendable(vm, machine);
    const kind = await this.#kindOf(vm, driver);
    if (vm.state === "paused") await this.unpause(id);
    onProgress?.({ step: "suspend", message: `Suspending ${vm.name}` });
    this.#states.set(id, { state: "suspending" });
    try {
      await syncDisk(running.link, signal);
      await running.link.close();
      await saveMachine(this.#place(id), kind, async (files) => {
        await machine.snapshot?.(files, { signal });
      });
      running.isSuspended = true;
      await machine.kill();
      await running.finished;
    } catch (error) {
      running.isSuspended = false;
      await this.callOff(id, running);
      throw toBangerError(error);
    }
  }

  /** A machine whose suspension was not completed goes on, if it is still there. */
  async callOff(id: string, running: RunningMachine): Promise<void> {
    discardSaved(this.#place(id).folder);
    if (this.#machines.get(id) !== running || getVm(this.#deps.db, id).state !== "suspending") {
      return;
    }
    await this.unpause(id);
  }

  /**
   * Restores a suspended machine. When its memory cannot be used it is stopped afterwards, and the result says why:
   * its disk can be booted. When it fails for another reason, and memory and disk are as they were, it is suspended
   * again.
   */
  async wake(vm: VmRecord, options: BootOptions): Promise<string | undefined> {
    options.onProgress?.({ step: "restore", message: `Restoring ${vm.name}` });
    return await this.#orWhyNot(vm, async () => {
      const { kind, files } = readSaved(this.#place(vm.id));
      assertSameKind(kind, await this.#kindOf(vm, driverFor(this.#deps, vm.spec).driver));
      await this.#machines.wake(vm, { ...options, memory: files });
    });
  }

  /** The same for a machine that an earlier daemon was restoring, and whose process is there. */
  async resumeWake(vm: VmRecord, running: RunningMachine): Promise<string | undefined> {
    return await this.#orWhyNot(vm, () => this.#machines.resumeWake(vm, running));
  }

  async #orWhyNot(vm: VmRecord, wake: () => Promise<void>): Promise<string | undefined> {
    const { id } = vm;
    try {
      await wake();
      return undefined;
    } catch (error) {
      const isAsleep = getVm(this.#deps.db, id).state === "suspended";
      if (!(error instanceof UnusableMemory)) throw isAsleep ? cannotWake(vm, error) : error;
      if (isAsleep) this.#states.set(id, { state: "stopped" });
      discardSaved(this.#place(id).folder);
      const message = `Cannot restore the memory of "${vm.name}", booting its disk: ${error.message}`;
      log.warn("{message}", { message });
      return message;
    }
  }

  /** Ends a suspended machine, whose memory is of no use any more. */
  async discard(id: string): Promise<void> {
    const exit = {
      reason: "killed" as const,
      at: new Date().toISOString(),
      detail:
        "suspended memory was discarded; the disk is as it was when the machine was suspended",
    };
    await this.#machines.ports.close(id);
    this.#states.set(id, { state: "stopped", runtime: null, intent: null, exit });
    discardSaved(this.#place(id).folder);
  }

  #get(id: string, verb: string): VmRecord {
    const vm = getVm(this.#deps.db, id);
    assertHere(vm, verb, this.#deps.owner);
    return vm;
  }

  #running(vm: VmRecord): RunningMachine {
    const running = this.#machines.get(vm.id);
    if (running) return running;
    throw new BangerError("invalid_state", `machine "${vm.name}" is not running`);
  }

  /** Of a machine that its driver, its client and the disk let be suspended. */
  #assertSuspendable(vm: VmRecord, machine: Machine): Driver {
    const driver = this.#deps.drivers.find(({ name }) => name === machine.handle.driver);
    if (!driver?.features.snapshot || !machine.snapshot) throw unsupported("suspend", vm, machine);
    if (vm.spec.ephemeral || this.#deps.owner) {
      throw new BangerError(
        "invalid_state",
        `Cannot suspend machine "${vm.name}": it ends with the command of "banger vm run"`,
        {
          hint: `Create one that stays with: banger vm create, or pause it: banger vm pause ${vm.name}`,
        },
      );
    }
    assertMemoryAlone(vm, { verb: "suspend" });
    const { folder } = this.#deps.config.paths.vm(vm.id);
    const what = `Cannot suspend machine "${vm.name}"`;
    assertRoomFor(vm, { folder, memoryOf: machine.handle.pid, what });
    return driver;
  }

  async #kindOf({ imageId, kernel }: VmRecord, driver: Driver): Promise<SavedKind> {
    const { id, digest } = this.#deps.images.show(imageId);
    const version = isImageKernel(kernel) ? "" : (await this.#deps.kernels.show(kernel)).digest;
    return {
      vmm: (await driver.snapshotKey?.()) ?? "",
      kernel: `${kernel} ${version}`,
      image: `${id} ${digest}`,
    };
  }

  #place(id: string): { folder: string; disk: string } {
    const { suspended, disk } = this.#deps.config.paths.vm(id);
    return { folder: suspended, disk };
  }
}

function cannotWake({ name }: VmRecord, error: unknown): BangerError {
  const known = toBangerError(error);
  const { code, message, hint } = known;
  if (code === "cancelled") return known;
  const why = message.replace(/^Cannot [^:]+: /, "");
  return new BangerError(code, `Cannot wake machine "${name}": ${why}`, {
    hint:
      code === "limit_exceeded"
        ? hint
        : `It is still suspended: try again, or give up its memory with: banger vm stop ${name}`,
    cause: error,
  });
}

async function setClock(link: MachineLink): Promise<void> {
  await syncClock(await link.agent(AbortSignal.timeout(CLOCK_MAX_MS)));
}

function unsupported(verb: string, { name }: VmRecord, { handle }: Machine): BangerError {
  const hint =
    verb === "suspend"
      ? `Pause it instead: banger vm pause ${name}, or create it with --vmm qemu`
      : `Stop it instead: banger vm stop ${name}`;
  const message = `Cannot ${verb} machine "${name}": not supported by the ${handle.driver} driver`;
  return new BangerError("unsupported", message, { hint });
}
