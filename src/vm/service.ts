/** Machines as the daemon offers them. */
import { readFileSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import type { VmHealth } from "#api/health.ts";
import type { MachineEvent, RepairStep } from "#api/system.ts";
import type { Vm, VmCreate, VmExit } from "#api/vm.ts";
import { orAborted, throwIfAborted } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { newId } from "#base/id.ts";
import { type ExitStatus, exitCodeOf } from "#guest/exec.ts";
import { unreadableError } from "#store/row.ts";
import { TemplateMaker } from "#vm/boot/template-maker.ts";
import type { BootOptions } from "#vm/life/boot.ts";
import { Lifecycle } from "#vm/life/lifecycle.ts";
import { sweepOrphans } from "#vm/life/orphans.ts";
import { assertHere, isElsewhere, restartElsewhere } from "#vm/life/owner.ts";
import { Recoverer } from "#vm/life/recover.ts";
import type { RemoveOptions, StopOptions } from "#vm/life/requests.ts";
import { VmNetworking } from "#vm/network/networking.ts";
import { MachineCommands } from "./command.ts";
import { createRecord, type Internal } from "./create.ts";
import type { VmDeps } from "./deps.ts";
import { Events } from "./events.ts";
import type { StoppedDisks } from "./files/stopped.ts";
import { ensureDisk } from "./folder.ts";
import { GuestAccess } from "./guest-access.ts";
import { lowersOf } from "./image-boot.ts";
import { readLog } from "./logs.ts";
import { isAsleep } from "./machine.ts";
import { findUnreadableVm, findVm, getVm, listVms, toApi, unreadableVms } from "./records.ts";
import { Sessions } from "./sessions/sessions.ts";
import { VmSettingsService } from "./settings.ts";
import { VmSnapshots } from "./snapshots/service.ts";
import { VolumeMounts } from "./volumes/mounting.ts";

const log = getLogger(["banger", "vm"]);

export class VmService {
  readonly #deps: VmDeps;
  readonly #events = new Events();
  readonly #lifecycle: Lifecycle;
  readonly #commands: MachineCommands;
  readonly #recoverer: Recoverer;
  readonly networking: VmNetworking;
  readonly settings: VmSettingsService;
  readonly sessions: Sessions;
  readonly snapshots: VmSnapshots;
  readonly mounts: VolumeMounts;
  /** Commands and connections inside machines that run. */
  readonly guests: GuestAccess;

  constructor(services: VmDeps) {
    // What a process in the foreground has begun would end with its machine.
    const nextTemplates = services.owner ? undefined : new TemplateMaker(services);
    const deps = { ...services, nextTemplates };
    this.#deps = deps;
    this.sessions = new Sessions(this, (id) => deps.config.paths.vm(id).sessions);
    this.#commands = new MachineCommands(deps, this.sessions, {
      running: (id) => this.#lifecycle.running(id),
      end: (id, running) => this.#lifecycle.endWithCommand(id, running),
    });
    this.#lifecycle = new Lifecycle(deps, this.#events, this.#commands);
    this.#recoverer = new Recoverer(deps, this.#lifecycle);
    this.guests = new GuestAccess(deps, {
      running: (id) => this.#lifecycle.running(id),
      recovered: (id) => this.#recoverer.done(id),
      awake: (id, signal) => this.#lifecycle.awake(id, signal),
      nextEvent: (id, signal) => this.#events.next(id, signal),
    });
    this.networking = new VmNetworking(deps, this.#lifecycle);
    this.settings = new VmSettingsService(deps, this.#lifecycle);
    this.snapshots = new VmSnapshots(deps, this.#lifecycle);
    this.mounts = new VolumeMounts(deps, this.#lifecycle);
  }

  /** How the command ended that the machine, which still runs, was started for. */
  noteExit(id: string, exit: ExitStatus): void {
    const running = this.#lifecycle.running(id);
    if (running) running.status = exitCodeOf(exit);
  }

  list(): Vm[] {
    return listVms(this.#deps.db).map(toApi);
  }

  /** Of a machine that is stopped; undefined for any other. */
  stoppedDisks(ref: string): StoppedDisks | undefined {
    const vm = getVm(this.#deps.db, ref);
    if (vm.state !== "stopped") return undefined;
    const image = this.#deps.images.show(vm.imageId);
    const { disk } = this.#deps.config.paths.vm(vm.id);
    return { name: vm.name, disk, lowers: [image.rootfs, ...lowersOf(this.#deps, vm, image)] };
  }

  show(ref: string): Vm {
    return toApi(getVm(this.#deps.db, ref));
  }

  /** Makes a machine and, unless told otherwise, starts it. When that fails nothing of it is left. */
  async create(request: VmCreate & Internal, options: BootOptions = {}): Promise<Vm> {
    const { snapshot } = request;
    if (snapshot !== undefined) {
      return await this.snapshots.createMachine({ ...request, snapshot }, options);
    }
    const id = newId();
    return await this.#lifecycle.whileBusy(id, () => this.#create({ ...request, id }, options));
  }

  async #create(request: VmCreate & Internal & { id: string }, options: BootOptions): Promise<Vm> {
    const entered = await createRecord(this.#deps, request, options);
    try {
      const isStarted = request.start !== false;
      await this.#lifecycle.make(entered.id, { isDiskLater: isStarted });
      if (isStarted) return await this.start(entered.id, options);
      this.#lifecycle.change(entered.id, { intent: null });
      return this.show(entered.id);
    } catch (error) {
      // A machine that runs but could not be set up is kept: it can be looked into. So is one that
      // another client has stopped in the middle of its boot.
      const isOurs = options.signal?.aborted === true;
      const isCancelled = error instanceof BangerError && error.code === "cancelled";
      const isStopped = isCancelled && !isOurs && !request.ephemeral;
      if (isStopped && findVm(this.#deps.db, entered.id)) {
        await ensureDisk(this.#deps, entered);
        this.#lifecycle.change(entered.id, { intent: null });
      }
      if (isStopped || (this.#lifecycle.running(entered.id) && !isOurs)) throw error;
      await this.remove(entered.id, { force: true }).catch((failure) =>
        log.error("cannot undo {id}: {message}", { id: entered.id, message: messageOf(failure) }),
      );
      throw error;
    }
  }

  async start(ref: string, options: BootOptions = {}): Promise<Vm> {
    const { id } = getVm(this.#deps.db, ref);
    await this.#lifecycle.start(id, options);
    return this.show(id);
  }

  /**
   * Makes this process the one that runs the machine, which must not run; what an earlier process
   * has left of it is dealt with first.
   */
  async takeOver(ref: string): Promise<void> {
    const vm = getVm(this.#deps.db, ref);
    assertHere(vm, "start", this.#deps.owner);
    await this.#recoverer.foreground(vm.id);
    this.#lifecycle.takeOver(vm.id);
  }

  /** Gives back what processes that ran machines in the foreground, and are gone, have left. */
  async recoverForeground(): Promise<void> {
    await this.#recoverer.foreground();
  }

  /** Where the process answers that runs the machine in the foreground; undefined for one of our own. */
  socketElsewhere(ref: string): string | undefined {
    const vm = getVm(this.#deps.db, ref);
    return isElsewhere(vm, this.#deps.owner)
      ? this.#deps.config.paths.vm(vm.id, vm.runtime?.handle?.runtimeDir).socket
      : undefined;
  }

  /** Undefined when there is no machine of that name. */
  find(name: string): Vm | undefined {
    const vm = findVm(this.#deps.db, name);
    return vm?.name === name ? toApi(vm) : undefined;
  }

  /** Asks the guest to power off, waits `grace_ms`, then ends the process. A stopped machine stays stopped. */
  async stop(ref: string, options: Partial<StopOptions> = {}): Promise<Vm> {
    const { id } = getVm(this.#deps.db, ref);
    await this.#lifecycle.stop(id, options);
    return this.show(id);
  }

  /**
   * Stops the machine and starts it again. One that another process runs in the foreground stays that process's,
   * which does both.
   */
  async restart(ref: string, options: Partial<StopOptions> & BootOptions = {}): Promise<Vm> {
    const { id } = getVm(this.#deps.db, ref);
    const vm = getVm(this.#deps.db, id);
    const { signal, onProgress } = options;
    if (vm.spec.ephemeral) {
      const message = `Cannot restart machine "${vm.name}": it was created for a single command`;
      throw new BangerError("invalid_state", message);
    }
    if (isElsewhere(vm, this.#deps.owner)) {
      onProgress?.({ step: "restart", message: `Restarting ${vm.name} in its own process` });
      const isBack = (): boolean => {
        const { state, startedAt } = getVm(this.#deps.db, id);
        return state === "running" && startedAt !== vm.startedAt;
      };
      await restartElsewhere(vm, { isBack, signal });
      return this.show(id);
    }
    onProgress?.({ step: "stop", message: `Stopping ${vm.name}` });
    await this.#lifecycle.stop(id, options);
    await this.#lifecycle.start(id, options);
    return this.show(id);
  }

  /** Stops the machine's processors until `resume`. */
  async pause(ref: string): Promise<Vm> {
    return await this.#changed(ref, (id) => this.#lifecycle.pause(id));
  }

  /** Lets a paused machine go on, or wakes a suspended one. */
  async resume(ref: string, options: BootOptions = {}): Promise<Vm> {
    return await this.#changed(ref, (id) => this.#lifecycle.resume(id, options));
  }

  /** Writes the machine to disk and ends its process, until somebody needs it. */
  async suspend(ref: string, options: BootOptions = {}): Promise<Vm> {
    return await this.#changed(ref, (id) => this.#lifecycle.suspend(id, options));
  }

  async #changed(ref: string, change: (id: string) => Promise<void>): Promise<Vm> {
    const { id } = getVm(this.#deps.db, ref);
    await this.#recoverer.done(id);
    await change(id);
    return this.show(id);
  }

  /** Ends the process at once, also of a machine that is still starting. */
  async kill(ref: string): Promise<Vm> {
    const { id } = getVm(this.#deps.db, ref);
    await this.#recoverer.done(id);
    await this.#lifecycle.kill(id);
    return this.show(id);
  }

  /** Ends and removes a machine that may have ended and removed itself meanwhile. */
  async discard(id: string): Promise<void> {
    if (findVm(this.#deps.db, id)) await this.remove(id, { force: true });
  }

  /** Removes a machine with its disk. */
  async remove(ref: string, options: RemoveOptions = {}): Promise<void> {
    const unreadable = findUnreadableVm(this.#deps.db, ref);
    if (unreadable) return await this.#lifecycle.removal.removeUnreadable(unreadable, options);
    const { id } = getVm(this.#deps.db, ref);
    await this.#recoverer.done(id);
    await this.#lifecycle.removal.remove(id, options);
  }

  /**
   * Takes over what an earlier daemon left, undoes what it left half done, and removes what
   * belongs to no machine; `isDryRun` only says what that would be. Machines that this daemon
   * works on are left alone.
   */
  async repair(options: { isDryRun?: boolean } = {}): Promise<RepairStep[]> {
    for (const each of unreadableVms(this.#deps.db)) {
      log.error("{message}", { message: unreadableError(each).message });
    }
    const steps = await this.#recoverer.all({ isDryRun: options.isDryRun ?? false });
    const orphans = await sweepOrphans(this.#deps, { isDryRun: options.isDryRun ?? false });
    return [...steps, ...orphans];
  }

  /** Machines that are stopped and not about to be started again; gives the names of those removed. */
  async prune(): Promise<string[]> {
    const idle = listVms(this.#deps.db).filter(
      ({ state, intent }) => state === "stopped" && intent === undefined,
    );
    await Promise.all(idle.map(({ id }) => this.#lifecycle.removal.remove(id)));
    return idle.map(({ name }) => name);
  }

  events(signal: AbortSignal | undefined): AsyncGenerator<MachineEvent, void> {
    return this.#events.listen(signal);
  }

  /** Ends what was begun for machines to come. */
  async endBackgroundWork(): Promise<void> {
    await this.#deps.nextTemplates?.stop();
  }

  /** Lets go of every machine without ending it, for the next daemon to adopt. */
  release(): void {
    this.#lifecycle.release();
  }

  /** Resolves when the machine has ended, which is not when it is suspended; at once for one that does not run. */
  async wait(ref: string, signal?: AbortSignal): Promise<VmExit> {
    const { id, createdAt } = getVm(this.#deps.db, ref);
    await this.#recoverer.done(id);
    for (;;) {
      const running = this.#lifecycle.running(id);
      const ended = running && (await orAborted(running.finished, signal));
      const vm = findVm(this.#deps.db, id);
      if (vm && isAsleep(vm.state)) await this.#events.next(id, signal);
      else return ended ?? vm?.exit ?? { reason: "unknown", at: createdAt };
      throwIfAborted(signal);
    }
  }

  async *logs(
    ref: string,
    options: {
      follow?: boolean | undefined;
      tail?: number | undefined;
      console?: boolean | undefined;
      isCurrent?: boolean | undefined;
      signal?: AbortSignal | undefined;
    },
  ) {
    const vm = getVm(this.#deps.db, ref);
    if (vm.spec.command && !options.console && this.#commands.hasLogs(vm.id)) {
      const { signal = new AbortController().signal } = options;
      yield* this.#commands.logs(vm.id, { ...options, signal });
      return;
    }
    const ended = this.wait(vm.id, options.signal).catch(() => {});
    yield* readLog(this.#deps.config.paths.vm(vm.id).console, { ...options, ended });
  }

  sshIdentity(ref: string): { name: string; hostKey: string; authorizedKeys: string[] } {
    const vm = getVm(this.#deps.db, ref);
    return {
      name: vm.name,
      hostKey: readFileSync(this.#deps.config.paths.vm(vm.id).hostKey, "utf8"),
      authorizedKeys: [this.#deps.sshKey.publicLine],
    };
  }

  /** How a machine is that runs, asked now. */
  async health(ref: string, signal?: AbortSignal): Promise<VmHealth> {
    const vm = getVm(this.#deps.db, ref);
    await this.#recoverer.done(vm.id);
    await this.#lifecycle.awake(vm.id, signal);
    return await this.#lifecycle.health(vm.id, signal);
  }
}
