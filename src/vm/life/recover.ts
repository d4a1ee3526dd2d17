/** Carries out what src/vm/life/recovery.ts decides, for every machine of an earlier daemon. */
import { getLogger } from "@logtape/logtape";
import type { RepairStep } from "#api/system.ts";
import type { VmExit } from "#api/vm.ts";
import { messageOf } from "#base/error.ts";
import type { VmDeps } from "#vm/deps.ts";
import { isAsleep } from "#vm/machine.ts";
import { findVm, listVms, type VmRecord } from "#vm/records.ts";
import { isSaved } from "#vm/suspend/saved.ts";
import { cleanUp } from "./boot.ts";
import { hostBootId } from "./boot-id.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { isElsewhere } from "./owner.ts";
import { type Recovery, recoveryOf, stepOf } from "./recovery.ts";
import { isToRestart } from "./restart.ts";
import { killOrphans } from "./template.ts";

const log = getLogger(["banger", "vm"]);

export class Recoverer {
  readonly #deps: VmDeps;
  readonly #lifecycle: Lifecycle;
  readonly #underWay = new Map<string, Promise<unknown>>();

  constructor(deps: VmDeps, lifecycle: Lifecycle) {
    this.#deps = deps;
    this.#lifecycle = lifecycle;
  }

  /** Waits for what was left of one machine to be dealt with. */
  async done(id: string): Promise<void> {
    await this.#underWay.get(id);
  }

  /**
   * Deals with every machine that nobody works on: running ones go on, half-made ones are undone.
   * Side by side, so that one that hangs delays no other.
   */
  async all({ isDryRun }: { isDryRun: boolean }): Promise<RepairStep[]> {
    const left = listVms(this.#deps.db).filter(
      (vm) => !this.#lifecycle.isAttended(vm.id) && !isElsewhere(vm, this.#deps.owner),
    );
    if (isDryRun) {
      return left.flatMap((vm) => {
        const recovery = recoveryOf(vm);
        return recovery ? [stepOf(vm, recovery)] : [];
      });
    }
    const steps = left.map(async ({ id }) => {
      const work = this.#lifecycle.inTurn(id, () => this.#recover(id));
      this.#underWay.set(id, work);
      return await work.finally(() => this.#underWay.delete(id));
    });
    return (await Promise.all(steps)).flat();
  }

  /**
   * Deals with what is left of machines whose process in the foreground is gone; the daemon's are
   * the daemon's, but for one that ran before the host was started anew.
   */
  async foreground(id?: string): Promise<void> {
    const isOld = ({ runtime }: VmRecord): boolean =>
      runtime !== undefined && runtime.hostBootId !== hostBootId();
    const left = listVms(this.#deps.db).filter(
      (vm) =>
        !isElsewhere(vm, this.#deps.owner) &&
        (vm.owner !== undefined || (vm.id === id && isOld(vm))),
    );
    await Promise.all(left.map((vm) => this.#lifecycle.inTurn(vm.id, () => this.#recover(vm.id))));
  }

  async #recover(id: string): Promise<RepairStep[]> {
    const vm = findVm(this.#deps.db, id);
    if (!vm) return [];
    const recovery = recoveryOf(vm);
    this.#lifecycle.watchAge(id);
    if (vm.state === "suspended") await this.#lifecycle.ports.reopen(id);
    if (!recovery) return [];
    const step = stepOf(vm, recovery);
    log.info("{machine}: {action}, since {detail}", { ...step });
    try {
      return [step, ...(await this.#carryOut(vm, recovery))];
    } catch (error) {
      const failure = messageOf(error);
      log.error("cannot recover {name}: {failure}", { name: vm.name, failure });
      return [{ ...step, failure }];
    }
  }

  /** What comes of it may need to be dealt with in turn. */
  async #carryOut(vm: VmRecord, { action }: Recovery): Promise<RepairStep[]> {
    if (action === "remove") await this.#lifecycle.removal.removeNow(vm);
    if (action === "start") this.#lifecycle.startLater(vm);
    if (action === "remove" || action === "start") return [];
    const handle = action === "stop" ? undefined : vm.runtime?.handle;
    const driver = this.#deps.drivers.find(({ name }) => name === handle?.driver);
    const machine = handle && (await driver?.adopt(handle));
    if (!machine) {
      await this.#giveBack(vm);
      return await this.#recover(vm.id);
    }
    // Whoever paused it to save it is gone.
    if (vm.state === "running") await machine.resume?.().catch(() => {});
    const running = await this.#lifecycle.adopt(vm, machine);
    if (action === "adopt") return [];
    if (vm.owner) this.#lifecycle.change(vm.id, { intent: null, owner: null });
    await this.#lifecycle.end(running);
    // One that was made for a command goes with its end.
    return vm.spec.ephemeral ? [] : await this.#recover(vm.id);
  }

  async #giveBack(vm: VmRecord): Promise<void> {
    const { runtime, suspended, disk } = this.#deps.config.paths.vm(vm.id);
    await killOrphans(this.#deps.drivers, runtime);
    await cleanUp(this.#deps, vm);
    // With no VMM left it is either as it was when it was suspended, or its disk has changed since.
    if (isAsleep(vm.state) && isSaved({ folder: suspended, disk })) {
      this.#lifecycle.change(vm.id, { state: "suspended", runtime: null });
      return;
    }
    const exit: VmExit = { reason: "unknown", at: new Date().toISOString() };
    const isAgain = !vm.owner && isToRestart(vm, exit);
    const intent = isAgain || vm.intent === "create" ? {} : { intent: null };
    const change = { runtime: null, exit, owner: null, ...intent };
    this.#lifecycle.change(vm.id, { state: "stopped", ...change });
  }
}
