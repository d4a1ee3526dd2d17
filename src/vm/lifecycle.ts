/**
 * What happens to a machine from its first start to its removal, in one place: who may do
 * what in which state, what is held while it runs, and how all of it is given back. One
 * machine's operations run one after another, those of different machines side by side;
 * `kill` alone does not wait its turn.
 */
import { mkdirSync, rmSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import type { VmExit } from "#api/vm.ts";
import { writeFileAtomic } from "#base/atomic.ts";
import { sha256 } from "#base/digest.ts";
import { BangerError, messageOf, throwIfAborted, toBangerError } from "#base/error.ts";
import { KeyedQueue } from "#base/queue.ts";
import { generateHostKey } from "#config/ssh-key.ts";
import { formatEmpty } from "#ext4/empty.ts";
import { consoleTail } from "#vmm/console.ts";
import type { ExitReason, Machine } from "#vmm/driver.ts";
import { awaitReady, type BootOptions, launch, unlaunch } from "./boot.ts";
import type { VmDeps } from "./deps.ts";
import { hostBootId } from "./host.ts";
import { requireState } from "./machine.ts";
import { deleteVm, findVm, getVm, listVms, updateVm, type VmRecord } from "./records.ts";
import { EndedEarly, RunningVm } from "./running.ts";

const log = getLogger(["banger", "vm"]);

const SHUTDOWN_REQUEST_TIMEOUT_MS = 5000;
const CONSOLE_LINES_SHOWN = 12;

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
  readonly #live = new Map<string, Live>();
  readonly #starting = new Map<string, AbortController>();
  readonly #queue = new KeyedQueue();

  constructor(deps: VmDeps) {
    this.#deps = deps;
  }

  /** The machine's process, undefined when there is none. */
  live(id: string): Live | undefined {
    return this.#live.get(id);
  }

  /** The folder and disk of a machine that has just been entered. */
  async make(id: string): Promise<void> {
    await this.#queue.run(id, async () => await this.#makeFolder(getVm(this.#deps.db, id)));
  }

  async start(id: string, options: BootOptions): Promise<void> {
    await this.#queue.run(id, async () => {
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
    await this.#queue.run(id, async () => {
      const vm = getVm(this.#deps.db, id);
      const live = this.#live.get(id);
      if (!live) return;
      if (vm.state === "running") updateVm(this.#deps.db, vm, { state: "stopping" });
      await Promise.race([this.#askToPowerOff(live), Bun.sleep(grace_ms)]);
      const isOver = await Promise.race([live.finished.then(() => true), Bun.sleep(0)]);
      if (!isOver) await this.#end(live);
    });
  }

  /** Ends the process at once, also of a machine that is still starting. */
  async kill(id: string): Promise<void> {
    const live = this.#live.get(id);
    const starting = this.#starting.get(id);
    if (!live && !starting) {
      requireState(getVm(this.#deps.db, id), "kill", ["running", "starting", "stopping"]);
    }
    starting?.abort();
    if (live) await this.#end(live);
  }

  /** Removes a machine with its disk. `force` ends it first when it runs. */
  async remove(id: string, options: { force?: boolean } = {}): Promise<void> {
    if (options.force) {
      this.#starting.get(id)?.abort();
      const live = this.#live.get(id);
      if (live) await this.#end(live);
    }
    await this.#queue.run(id, async () => {
      const vm = findVm(this.#deps.db, id);
      if (!vm) return;
      if (vm.state === "running") {
        throw new BangerError(
          "invalid_state",
          `Cannot remove machine "${vm.name}": it is running`,
          {
            hint: `Stop it first (banger vm stop ${vm.name}), or use: banger vm rm --force ${vm.name}`,
          },
        );
      }
      requireState(vm, "remove", ["stopped", "creating", "removing"]);
      await this.#remove(vm);
    });
  }

  /** Takes over what an earlier daemon left: running machines go on, half-made ones are undone. */
  async reconcile(): Promise<void> {
    await Promise.all(listVms(this.#deps.db).map((vm) => this.#reconcile(vm)));
  }

  /** Lets go of every machine without ending it, for the next daemon to adopt. */
  release(): void {
    for (const { running } of this.#live.values()) running.machine.release();
  }

  async #start(vm: VmRecord, options: BootOptions & { signal: AbortSignal }): Promise<void> {
    const { db, config } = this.#deps;
    let current = updateVm(db, vm, {
      state: "starting",
      runtime: { hostBootId: hostBootId() },
      exit: null,
      warning: null,
    });
    let machine: Machine;
    try {
      machine = await launch(this.#deps, current, options);
    } catch (error) {
      updateVm(db, current, { state: "stopped", runtime: null });
      throw toBangerError(error);
    }
    current = updateVm(db, current, {
      runtime: { hostBootId: hostBootId(), handle: machine.handle },
      startedAt: new Date().toISOString(),
    });
    const live = this.#track(vm.id, machine);
    try {
      await awaitReady(live.running, { ...options, timeout_ms: config.values["vm.boot_timeout"] });
      updateVm(db, getVm(db, vm.id), { state: "running" });
    } catch (error) {
      await this.#bootFailed(vm.id, live, { error, signal: options.signal });
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
      updateVm(db, vm, { state: "running", warning: error.message });
      throw new BangerError("guest", error.message, {
        hint: `The machine runs and can be looked into: banger vm exec ${vm.name} -- sh`,
        cause: error,
      });
    }
    if (!(error instanceof EndedEarly)) await this.#end(live);
    const exit = await live.finished;
    if (signal.aborted)
      throw new BangerError("cancelled", `The start of "${vm.name}" was cancelled`);
    if (!(error instanceof EndedEarly)) throw toBangerError(error);
    const detail = exit.detail ? `\n${exit.detail}` : "";
    throw new BangerError(
      "guest",
      `Machine "${vm.name}" ended while it booted: ${exit.reason}${detail}`,
      {
        hint: hintFor(detail),
        cause: error,
      },
    );
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
    await unlaunch(this.#deps, vm).catch((error) =>
      log.error("cannot clean up after {name}: {message}", {
        name: vm.name,
        message: messageOf(error),
      }),
    );
    this.#live.delete(id);
    updateVm(db, vm, { state: "stopped", runtime: null, exit });
    if (vm.spec.ephemeral) queueMicrotask(() => void this.remove(id).catch(() => {}));
    return exit;
  }

  async #end(live: Live): Promise<void> {
    live.isKilled = true;
    await live.running.machine.kill();
    await live.finished;
  }

  async #askToPowerOff(live: Live): Promise<void> {
    try {
      const agent = await live.running.agent(AbortSignal.timeout(SHUTDOWN_REQUEST_TIMEOUT_MS));
      const driver = this.#deps.drivers.find(
        ({ name }) => name === live.running.machine.handle.driver,
      );
      await agent.shutdown({
        timeout_ms: SHUTDOWN_REQUEST_TIMEOUT_MS,
        reboot: driver?.features.endsOnPowerOff === false,
      });
    } catch (error) {
      log.warn("the guest did not take the request to stop: {message}", {
        message: messageOf(error),
      });
      return;
    }
    await live.finished;
  }

  async #makeFolder(vm: VmRecord): Promise<void> {
    const paths = this.#deps.config.paths.vm(vm.id);
    mkdirSync(paths.folder, { recursive: true, mode: 0o700 });
    await formatEmpty(paths.disk, {
      size_bytes: vm.spec.disk_bytes,
      seed: sha256(vm.id),
      label: "banger",
    });
    writeFileAtomic(paths.hostKey, generateHostKey(vm.name).private);
    updateVm(this.#deps.db, vm, { state: "stopped" });
  }

  async #remove(vm: VmRecord): Promise<void> {
    const { db, config } = this.#deps;
    if (vm.state !== "removing") updateVm(db, vm, { state: "removing" });
    await unlaunch(this.#deps, vm);
    rmSync(config.paths.vm(vm.id).folder, { recursive: true, force: true });
    deleteVm(db, vm.id);
  }

  async #reconcile(vm: VmRecord): Promise<void> {
    const { db, drivers } = this.#deps;
    if (vm.state === "stopped" && !vm.spec.ephemeral) return;
    if (vm.state === "creating" || vm.state === "removing") return await this.#remove(vm);
    const handle = vm.runtime?.hostBootId === hostBootId() ? vm.runtime.handle : undefined;
    const driver = drivers.find(({ name }) => name === handle?.driver);
    const machine = handle && (await driver?.adopt(handle));
    if (!machine) {
      const { runtime } = this.#deps.config.paths.vm(vm.id);
      await Promise.all(drivers.map((each) => each.killStray(runtime)));
      await unlaunch(this.#deps, vm);
      const exit: VmExit = { reason: "unknown", at: new Date().toISOString() };
      const stopped =
        vm.state === "stopped" ? vm : updateVm(db, vm, { state: "stopped", runtime: null, exit });
      if (vm.spec.ephemeral) await this.#remove(stopped);
      return;
    }
    const live = this.#track(vm.id, machine);
    log.info("adopted {name}, pid {pid}", { name: vm.name, pid: machine.handle.pid });
    // The command that it was made for lost its client with the earlier daemon.
    if (vm.spec.ephemeral) return void (await this.#end(live));
    if (vm.state === "starting") updateVm(db, vm, { state: "running" });
    if (vm.state === "stopping") await this.#end(live);
  }
}
function detailOf(reason: ExitReason, consolePath: string): { detail?: string } {
  if (reason.kind === "crashed") return { detail: reason.detail };
  if (reason.kind !== "panic") return {};
  return { detail: consoleTail(consolePath, CONSOLE_LINES_SHOWN).join("\n") };
}

function hintFor(detail: string): string {
  if (/out of memory|deadlocked on memory/i.test(detail)) return "Give it more with --memory";
  return "Try another kernel with --kernel, or see: banger doctor";
}
