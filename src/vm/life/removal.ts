/** Removes machines: their process, what they hold on the host, their folder, their record. */
import { rmSync } from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import { unreadableError } from "#store/row.ts";
import type { VmDeps } from "#vm/deps.ts";
import { assertNotRunning, requireState } from "#vm/machine.ts";
import { findVm, getVm, type UnreadableVm, type VmRecord } from "#vm/records.ts";
import { pruneSecrets } from "#vm/secrets/secrets.ts";
import type { States } from "#vm/states.ts";
import { cleanUp, cleanUpUnreadable } from "./boot.ts";
import { endIfElsewhere } from "./owner.ts";
import type { OperationQueue } from "./queue.ts";
import type { RemoveOptions } from "./requests.ts";
import type { RunningMachines } from "./running-machines.ts";
import type { Schedule } from "./schedule.ts";

/** Of the lifecycle that it is a part of. */
interface Parts {
  states: States;
  machines: RunningMachines;
  schedule: Schedule;
  queue: OperationQueue;
}

export class Removal {
  readonly #deps: VmDeps;
  readonly #states: States;
  readonly #machines: RunningMachines;
  readonly #schedule: Schedule;
  readonly #queue: OperationQueue;

  constructor(deps: VmDeps, { states, machines, schedule, queue }: Parts) {
    this.#deps = deps;
    this.#states = states;
    this.#machines = machines;
    this.#schedule = schedule;
    this.#queue = queue;
  }

  /** Removes a machine with its disk; once begun it is not called off. */
  async remove(id: string, { force, signal }: RemoveOptions = {}): Promise<void> {
    throwIfAborted(signal);
    if (force) await this.#endForRemoval(id, signal);
    await this.#queue.run(id, async () => {
      throwIfAborted(signal);
      const vm = findVm(this.#deps.db, id);
      if (!vm) return;
      assertNotRunning(vm);
      requireState(vm, "remove", ["stopped", "suspended", "creating", "removing"]);
      await this.removeNow(vm);
    });
  }

  /** Removes a machine whose record cannot be read, with everything that is found of it by its id. */
  async removeUnreadable(vm: UnreadableVm, { force }: RemoveOptions): Promise<void> {
    if (!force && !vm.isStopped) throw unreadableError(vm);
    await this.#queue.run(vm.id, async () => {
      await cleanUpUnreadable(this.#deps, vm.id);
      this.#erase(vm);
    });
  }

  /** Ends it wherever it runs; a start that is under way is called off. */
  async #endForRemoval(id: string, signal: AbortSignal | undefined): Promise<void> {
    const vm = findVm(this.#deps.db, id);
    if (!vm || (await endIfElsewhere(vm, this.#deps.owner, { isAtOnce: true, signal }))) return;
    this.#schedule.cancelStart(id);
    if (vm.intent === "run") this.#states.set(id, { intent: null });
    this.#machines.starting(id)?.abort();
    const running = this.#machines.get(id);
    if (running) await this.#machines.end(running);
  }

  /** For whoever has the machine's turn. */
  async removeNow({ id, state }: VmRecord): Promise<void> {
    const { db } = this.#deps;
    const vm = state === "removing" ? getVm(db, id) : this.#states.set(id, { state: "removing" });
    await this.#machines.ports.close(id);
    await cleanUp(this.#deps, vm);
    this.#erase(vm);
  }

  #erase(vm: Pick<VmRecord, "id" | "name">): void {
    rmSync(this.#deps.config.paths.vm(vm.id).folder, { recursive: true, force: true });
    this.#schedule.forget(vm.id);
    this.#states.remove(vm);
    pruneSecrets(this.#deps);
  }
}
