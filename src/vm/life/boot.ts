/** Starts a machine: network, initrd, VMM, agent, in this order, and undoes them in the other. */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { orAborted } from "#base/abort.ts";
import { formatDuration } from "#base/duration.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { type OnProgress, warningProgress } from "#base/progress.ts";
import { KiB } from "#base/size.ts";
import { addressOf } from "#net/address.ts";
import type { Attachment } from "#net/network.ts";
import { planBoot } from "#vm/boot/plan.ts";
import type { VmDeps } from "#vm/deps.ts";
import { ensureDisk } from "#vm/folder.ts";
import { guestProgress } from "#vm/guest-progress.ts";
import { modulesOf } from "#vm/image-boot.ts";
import { offerPackages } from "#vm/packages.ts";
import { getVm, type VmRecord } from "#vm/records.ts";
import { trustAuthority } from "#vm/secrets/trust-authority.ts";
import { mountShare } from "#vm/shares/mount.ts";
import { endServer, keepShares } from "#vm/shares/server.ts";
import { restoreTemplate } from "#vm/snapshots/restore-template.ts";
import { type MemorySource, restoreMemory } from "#vm/snapshots/source.ts";
import type { VmRuntime } from "#vm/spec.ts";
import { forwardSshAgent } from "#vm/ssh-agent/forward.ts";
import { identify, identityPath, wake } from "#vm/suspend/wake.ts";
import { setupSteps } from "#vm/volumes/attach.ts";
import { keepSetup, setUp } from "#vm/volumes/setup.ts";
import { removeCgroup } from "#vmm/cgroup.ts";
import type { Machine, Snapshot } from "#vmm/driver.ts";
import { hostBootId } from "./boot-id.ts";
import { driverFor } from "./choose-driver.ts";
import type { MachineLink } from "./machine-link.ts";
import { firstBootArguments, keepInstalled } from "./provision.ts";
import { killOrphans } from "./template.ts";

/** A restored machine answers in a moment, on a busy host in some seconds. */
const GREETING_MAX_MS = 60_000;
/** The longest that a timer takes. */
const NEVER_MS = 2 ** 31 - 1;

export interface BootOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
  /** Memory that goes with its disk, or a disk that is not empty although it never ran. */
  from?: MemorySource | "disk" | undefined;
  /** Begins the machine's deadline anew. */
  extend?: (() => void) | undefined;
}

export interface LaunchOptions extends BootOptions {
  /** Of a suspended machine, to go on from in place of a boot. */
  memory?: Snapshot | undefined;
}

export interface Launched {
  machine: Machine;
  /** What it holds from now on. */
  runtime: VmRuntime;
}

/** From a description to a process. Whatever was made is unmade when a later step fails. */
export async function launch(
  deps: VmDeps,
  vm: VmRecord,
  options: LaunchOptions,
): Promise<Launched> {
  const paths = deps.config.paths.vm(vm.id);
  const { driver, reason } = driverFor(deps, vm.spec);
  deps.images.assertUsable(vm.imageId);
  const image = deps.images.show(vm.imageId);
  // It has no disk, or an empty one.
  const isFirst = vm.intent === "create" && !options.from;
  if (!isFirst) checkDisk(vm, paths.disk);
  mkdirSync(paths.runtime, { recursive: true, mode: 0o700 });
  try {
    const { from, memory } = options;
    const source = from === "disk" ? undefined : from;
    const { kernel, attachment, record, spec, lowers, initrd, fuseShares } = await planBoot(
      deps,
      vm,
      {
        ...options,
        driver,
        image,
        source,
        isWoken: memory !== undefined,
        kernelArgs: firstBootArguments(deps, vm),
        endsWithUs: deps.owner !== undefined,
      },
    );
    if (memory) {
      const files = { ...options, memory, runtime: paths.runtime };
      const machine = await wake(driver, { spec, record }, files);
      return { machine, runtime: runtimeOf(machine, attachment) };
    }
    if (source) {
      const now = { lowers, modules: modulesOf(deps, vm) };
      const machine = await restoreMemory(
        source,
        vm,
        { driver, spec, identity: record, now },
        options,
      );
      if (machine) return { machine, runtime: runtimeOf(machine, attachment, true) };
    }
    keepShares(paths.runtime, fuseShares);
    keepSetup(paths.runtime, setupSteps(vm.spec, spec));
    const restored = isFirst
      ? await restoreTemplate(
          deps,
          vm,
          { driver, reason, image, kernel, spec, record, initrd, lowers },
          options,
        )
      : undefined;
    if (restored) {
      const { machine, template } = restored;
      return { machine, runtime: { ...runtimeOf(machine, attachment), template } };
    }
    options.onProgress?.({ step: "boot", message: `Booting ${vm.name} (${reason})` });
    await ensureDisk(deps, vm);
    writeFileSync(paths.initrd, initrd(record), { mode: 0o600 });
    const machine = await driver.boot(spec, options.signal);
    return { machine, runtime: runtimeOf(machine, attachment) };
  } catch (error) {
    await cleanUp(deps, vm);
    throw error;
  }
}

/** Gives back what a machine held outside its folder. Safe to repeat. */
export async function cleanUp(deps: VmDeps, vm: VmRecord): Promise<void> {
  const paths = deps.config.paths.vm(vm.id);
  await endServer(paths.runtime);
  await deps.network.detach({ machineId: vm.id, mode: vm.spec.network });
  rmSync(paths.runtime, { recursive: true, force: true });
  rmSync(paths.initrd, { force: true });
  if (vm.runtime?.cgroup) await removeCgroup(vm.runtime.cgroup);
}

/** As `cleanUp`, knowing nothing but its id: its VMM is found by its runtime directory. */
export async function cleanUpUnreadable(deps: VmDeps, id: string): Promise<void> {
  const { runtime } = deps.config.paths.vm(id);
  await killOrphans(deps.drivers, runtime);
  await endServer(runtime);
  await deps.network.detach({ machineId: id, mode: "nat" });
  rmSync(runtime, { recursive: true, force: true });
  if (deps.cgroups) await removeCgroup(join(deps.cgroups, id));
}

/**
 * Waits until the guest says that it is ready, and reports what it does on the way. `vm` is as it was
 * before it started.
 */
export async function awaitReady(
  deps: VmDeps,
  vm: VmRecord,
  options: BootOptions & { link: MachineLink },
): Promise<void> {
  const { link, signal, onProgress } = options;
  await using offer = offerPackages(deps, vm, { signal, onProgress });
  const identity = identityPath(deps.config.paths.vm(vm.id).runtime);
  const template = existsSync(identity) ? getVm(deps.db, vm.id).runtime?.template : undefined;
  const greeting = link.agent(signal, { isBooting: true });
  let agent = await (template ? greetingOf(deps, greeting, { template, signal }) : greeting);
  const isRestored = agent.hello.isTemplate || existsSync(identity);
  if (isRestored) {
    const identified = await identify(link, readFileSync(identity), signal);
    agent = identified.agent;
    for (const message of identified.warnings) onProgress?.(warningProgress(message));
    rmSync(identity);
  }
  const { runtime } = deps.config.paths.vm(vm.id);
  const mount = (index: number) => mountShare(deps, vm, { index, agent, link, signal });
  const setUpNow = () => link.whileAlive(setUp(agent, runtime, { signal, mountShare: mount }));
  // Before its services. What is mounted while packages are installed would become part of the image's layer.
  const isEarly = vm.spec.mode === "systemd" && (isRestored || vm.intent !== "create");
  if (isEarly) await setUpNow();
  // What it tells again then is the boot of the template.
  const report = isRestored || !onProgress ? undefined : guestProgress(onProgress);
  const told = new Set<string>();
  const stopListening = agent.onEvent((event) => {
    report?.(event);
    if (event.kind !== "phase" || told.has(event.phase)) return;
    told.add(event.phase);
    if (event.phase === "packages") void offer.answer(agent);
    if (event.phase === "installed") void keepInstalled(deps, vm, { ...options, agent });
  });
  try {
    // Whoever waits has set a deadline, and has it in the signal.
    await link.whileAlive(agent.waitReady({ timeout_ms: NEVER_MS, signal }));
    await link.whileAlive(trustAuthority(deps, vm, { agent, signal }));
    await link.whileAlive(forwardSshAgent(deps, vm, link));
    await setUpNow();
  } finally {
    stopListening();
  }
}

/**
 * Removes the template of a restored machine that never answers: the memory is damaged, and the next machine must not
 * be restored from it.
 */
export async function greetingOf<T>(
  { templates }: Pick<VmDeps, "templates">,
  greeting: Promise<T>,
  {
    template,
    signal,
    limit_ms = GREETING_MAX_MS,
  }: { template: string; signal: AbortSignal | undefined; limit_ms?: number },
): Promise<T> {
  const limit = AbortSignal.timeout(limit_ms);
  try {
    return await orAborted(greeting, signal ? AbortSignal.any([signal, limit]) : limit);
  } catch (error) {
    if (signal?.aborted) throw error;
    templates?.drop(template);
    const why = limit.aborted ? `no answer after ${formatDuration(limit_ms)}` : messageOf(error);
    throw new BangerError(
      "unavailable",
      `Cannot restore from the template, which is removed: ${why}`,
      {
        hint: "Try again: the next machine makes another template",
        cause: error,
      },
    );
  }
}

function runtimeOf({ handle }: Machine, attachment: Attachment, isRestored?: true): VmRuntime {
  const own = { hostBootId: hostBootId(), handle, isRestored };
  if (!("tap" in attachment)) return own;
  const { address, address6 } = attachment;
  return {
    ...own,
    address: addressOf(address),
    address6: address6 && addressOf(address6),
    isNamespaced: attachment.namespacePid === undefined ? undefined : true,
  };
}

/** Enlarged where its size was changed: the guest lets the file system follow. */
function checkDisk({ name, spec }: VmRecord, path: string): void {
  assertPresent(path, `banger vm rm ${name}`);
  if (statSync(path).size < spec.disk_bytes) truncateSync(path, spec.disk_bytes);
}

function assertPresent(path: string, mend: string): void {
  if (existsSync(path) && statSync(path).size > KiB) return;
  throw new BangerError("invalid_state", `Cannot boot: missing file ${path}`, {
    hint: `Try: ${mend}`,
  });
}
