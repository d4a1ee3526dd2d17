/** What a new machine is restored from in place of its boot: found, or made by booting a machine without an identity. */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { getLogger } from "@logtape/logtape";
import type { Image } from "#api/image.ts";
import { type Digest, sha256 } from "#base/digest.ts";
import { formatDuration } from "#base/duration.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { type WorkOptions, warningProgress } from "#base/progress.ts";
import { generateHostKey } from "#config/ssh-key.ts";
import { formatEmpty } from "#ext4/empty/empty.ts";
import { type Agent, connectAgent } from "#guest/agent.ts";
import type { BootRecord } from "#guest/boot.ts";
import { readAgentBinary, readFirstBoot } from "#guest/embedded.ts";
import { INTERMEDIATE_REFERENCE } from "#images/records.ts";
import { forgetBootId, parseBootId, type ReadBootId } from "#snapshots/boot-id.ts";
import type { TemplateFiles, Templates } from "#snapshots/templates.ts";
import { assertRoomFor } from "#vm/before-save.ts";
import type { VmDeps } from "#vm/deps.ts";
import { isImageKernel } from "#vm/image-boot.ts";
import { hasSystemd } from "#vm/mode.ts";
import type { VmRecord } from "#vm/records.ts";
import { mountsKey, placeholders } from "#vm/volumes/attach.ts";
import type { BootSpec, Driver, Machine } from "#vmm/driver.ts";

const log = getLogger(["banger", "vm"]);

/** Part of every key: grows when a template of before would not do any more. */
const KEY_FORMAT = 7;
/** Locally administered; no machine has it when it is connected. */
export const TEMPLATE_MAC = "02:00:00:00:00:01";
/** The longest that a timer takes. */
const NEVER_MS = 2 ** 31 - 1;
/** Of a shell that does nothing. */
const WARM_UP_MS = 10_000;
/** Of the time that a machine has for its boot, so that it can still boot itself then. */
const MAKING_SHARE = 0.8;

export interface TemplateParts {
  driver: Driver;
  /** Why this driver, for people. */
  reason: string;
  image: Image;
  kernelDigest: Digest;
  lowers: number;
  /** Identifies the disk with the kernel's modules. */
  modules: string | undefined;
  /** Of the machine: what is in it that is its own is replaced. */
  spec: BootSpec;
  /** The initrd of the machine that becomes the template. */
  makeInitrd: (identity: Partial<BootRecord>) => Uint8Array;
}

/** Of a template that nobody has asked for yet. */
export interface InAdvance {
  onBooted: (machine: Machine) => void;
  /** A machine waits for it now. */
  onAwaited: () => void;
}

export interface TemplateOptions extends WorkOptions {
  extend?: (() => void) | undefined;
  inAdvance?: InAdvance | undefined;
}

/**
 * The template for a new machine, made first if there is none. Undefined where machines of its kind boot,
 * and whenever a template cannot be made, as long as the machine itself can boot.
 */
export async function templateFor(
  deps: VmDeps,
  vm: VmRecord,
  parts: TemplateParts,
  options: TemplateOptions,
): Promise<{ files: TemplateFiles; key: string } | undefined> {
  const { templates } = deps;
  if (!templates || !isEligible(vm, parts)) return undefined;
  const key = await keyOf(deps, vm, parts);
  const disk_bytes = templateDisk_bytes(deps.config, vm, parts.driver);
  const timeout_ms = deps.config.values["vm.boot_timeout"] * MAKING_SHARE;
  let isRefused = false;
  const onRefused = () => {
    isRefused = true;
  };
  try {
    const files = await templates.ensure(
      key,
      parts.image.name,
      async (made) => {
        try {
          await make({ vm, parts, key, disk_bytes, options, onRefused, timeout_ms }, made);
        } finally {
          options.extend?.();
        }
      },
      {
        signal: options.signal,
        onAwaited: options.inAdvance?.onAwaited,
        isInAdvance: options.inAdvance !== undefined,
        onWait: () =>
          options.onProgress?.({
            step: "boot",
            message: `Waiting with ${vm.name} for the template, which another machine makes`,
          }),
      },
    );
    return files && { files, key };
  } catch (error) {
    if (options.signal?.aborted || isRefused) {
      templates.retry(key);
      throw error;
    }
    report(vm, "Cannot keep a template, machines like this one boot each time", error, options);
    return undefined;
  }
}

/** A template that cannot be restored from is of no use to anybody. */
export function dropTemplate(
  templates: Templates | undefined,
  { key, vm, error }: { key: string; vm: VmRecord; error: unknown },
  options: WorkOptions,
): void {
  report(vm, "Cannot restore from the template, which is removed; booting", error, options);
  try {
    templates?.drop(key);
  } catch (cause) {
    report(vm, "Cannot remove the template", cause, options);
  }
}

function report(vm: VmRecord, what: string, error: unknown, { onProgress }: WorkOptions): void {
  const message = `${what}: ${toBangerError(error).message}`;
  log.warn("{name}: {message}", { name: vm.name, message });
  onProgress?.(warningProgress(message));
}

function isEligible(vm: VmRecord, { driver, image, spec, lowers }: TemplateParts): boolean {
  const isKnown = image.managed && image.digest !== undefined && !isImageKernel(vm.kernel);
  // One that a build makes on its way is gone with it.
  const isKept = image.reference !== INTERMEDIATE_REFERENCE;
  if (!isKnown || !isKept || !driver.features.snapshot || !driver.restore) return false;
  // Other init systems do not tell when they are done, and one that has to be installed is kept as a layer first.
  return (
    vm.spec.mode === "direct" ||
    hasSystemd(spec.drives.slice(0, 1 + lowers).map(({ path }) => path))
  );
}

/** Everything that the memory or the devices of a machine follow from. */
async function keyOf(
  { sshKey, config }: Pick<VmDeps, "sshKey" | "config">,
  vm: VmRecord,
  parts: TemplateParts,
): Promise<string> {
  const { spec, image, kernelDigest, lowers, modules, driver } = parts;
  const { mode, cpus, memory_mib } = vm.spec;
  const kind = {
    format: KEY_FORMAT,
    vmm: await driver.snapshotKey?.(),
    image: [image.id, image.digest],
    kernel: kernelDigest,
    agent: agentDigest(),
    authorizedKey: sshKey.publicLine,
    mode,
    cpus,
    memory_mib,
    disk_bytes: templateDisk_bytes(config, vm, driver),
    lowers,
    modules,
    provisioned: vm.spec.provisioned,
    isBuild: vm.spec.isBuild === true,
    kernelArgs: spec.kernelArgs,
    network: spec.network?.kind,
    mounts: mountsKey(spec),
  };
  return sha256(JSON.stringify(kind)).slice("sha256:".length);
}

/** The disk of a larger machine grows when it is restored, so that all of them have one template. */
function templateDisk_bytes(
  { values }: VmDeps["config"],
  { spec }: Pick<VmRecord, "spec">,
  { features }: Pick<Driver, "features">,
): number {
  return features.growsDrives ? Math.min(spec.disk_bytes, values["vm.disk"]) : spec.disk_bytes;
}

let agent: Digest | undefined;

function agentDigest(): Digest {
  agent ??= sha256(Buffer.concat([readAgentBinary(), readFirstBoot()]));
  return agent;
}

interface Making {
  vm: VmRecord;
  parts: TemplateParts;
  key: string;
  disk_bytes: number;
  options: TemplateOptions;
  /** The VMM refuses such a machine, with or without a template. */
  onRefused: () => void;
  timeout_ms: number;
}

/** Boots a machine without an identity, and keeps what that ends in. */
async function make(making: Making, files: TemplateFiles): Promise<void> {
  const { options, timeout_ms } = making;
  const limit = AbortSignal.timeout(timeout_ms);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  try {
    await bootAndSave({ ...making, options: { ...options, signal } }, files);
  } catch (error) {
    if (options.signal?.aborted || !limit.aborted) throw error;
    const message = `the machine is not ready after ${formatDuration(timeout_ms)}`;
    throw new BangerError("timeout", message);
  }
}

async function bootAndSave(making: Making, files: TemplateFiles): Promise<void> {
  const { vm, parts, key, options, onRefused } = making;
  const { driver, spec } = parts;
  const { signal, onProgress } = options;
  onProgress?.({ step: "boot", message: `Booting ${vm.name} (${parts.reason})` });
  const runtimeDir = templateRuntime(spec.runtimeDir);
  try {
    mkdirSync(runtimeDir, { recursive: true, mode: 0o700 });
    const seed = sha256(key);
    await formatEmpty(files.disk, { size_bytes: making.disk_bytes, seed, label: "banger" });
    writeFileSync(files.initrd, parts.makeInitrd(noIdentity(vm.spec)), { mode: 0o600 });
    const drives = spec.drives.map((drive) =>
      drive.readOnly || drive.volume_bytes !== undefined ? drive : { ...drive, path: files.disk },
    );
    const own = {
      ...spec,
      runtimeDir,
      initrdPath: files.initrd,
      ...placeholders({ drives, shares: spec.shares }, runtimeDir),
      diskLimits: undefined,
      network: spec.network && { ...spec.network, mac: TEMPLATE_MAC },
    };
    const machine = await driver.boot(own, signal).catch((error: unknown) => {
      if (toBangerError(error).code === "limit_exceeded") onRefused();
      throw error;
    });
    try {
      options.inAdvance?.onBooted(machine);
      const ended = machine.exited.then(({ kind }) => {
        throw new BangerError("guest", `the machine stopped: ${kind}`);
      });
      const bootId = await Promise.race([untilReady(machine, vm.spec.mode, signal), ended]);
      if (!machine.snapshot)
        throw new BangerError("unsupported", "this VMM does not support snapshots");
      const what = "Cannot save the template";
      assertRoomFor(vm, { folder: dirname(files.memory), memoryOf: machine.handle.pid, what });
      await machine.snapshot({ memoryPath: files.memory, statePath: files.state }, { signal });
      if (bootId) await forgetBootId(files.memory, bootId);
    } finally {
      await machine.kill();
    }
  } finally {
    rmSync(runtimeDir, { recursive: true, force: true });
  }
}

/** In the machine's own, so that it is left alone and cleaned up with that, by whichever process. Short, as paths of sockets are. */
function templateRuntime(runtimeDir: string): string {
  return join(runtimeDir, "t");
}

/** Ends every VMM of a machine whose process is gone: its own, and that of a template in the making. */
export async function killOrphans(drivers: readonly Driver[], runtimeDir: string): Promise<void> {
  const folders = [runtimeDir, templateRuntime(runtimeDir)];
  await Promise.all(drivers.flatMap((each) => folders.map((folder) => each.killOrphan(folder))));
}

async function untilReady(
  machine: Awaited<ReturnType<Driver["boot"]>>,
  mode: VmRecord["spec"]["mode"],
  signal: AbortSignal | undefined,
): Promise<ReadBootId | undefined> {
  const timeout = { timeout_ms: NEVER_MS, signal };
  const agent = await connectAgent(await machine.connectAgent(signal), timeout);
  await agent.waitReady(timeout);
  if (mode === "systemd") await untilIdle(agent, signal);
  else await warmUp(agent, signal);
  const bootId = mode === "systemd" ? await readBootId(agent, signal) : undefined;
  agent.close();
  await agent.closed;
  return bootId;
}

/** The files that most commands read first are in memory then, in every machine. An image need not have a shell. */
async function warmUp(agent: Agent, signal: AbortSignal | undefined): Promise<void> {
  const timeout_ms = WARM_UP_MS;
  await agent.run(["sh", "-c", ":"], { timeout_ms, signal }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
  });
}

/**
 * Notes for guest/boot, so that no machine has to look: the boot ID, by which it sees whether that was taken back, and
 * whether the ssh server reads the host keys from their files for each connection.
 */
async function readBootId(agent: Agent, signal: AbortSignal | undefined): Promise<ReadBootId> {
  const script = [
    "tee /run/banger/boot-id </proc/sys/kernel/random/boot_id",
    "[ ! -s /run/sshd.pid ] || grep -q sshd-session /proc/$(cat /run/sshd.pid)/exe || : >/run/banger/ssh-rereads",
    "cat /proc/iomem",
  ].join("; ");
  const { stdout } = await agent.run(["sh", "-c", script], { signal });
  return parseBootId(new TextDecoder().decode(stdout));
}

/** All jobs of systemd are done, and none failed: for want of a network it would have in no machine. */
async function untilIdle(agent: Agent, signal: AbortSignal | undefined): Promise<void> {
  const script =
    "systemctl is-system-running --wait; systemctl list-units --state=failed --plain --no-legend --no-pager";
  const { stdout } = await agent.run(["sh", "-c", script], { timeout_ms: NEVER_MS, signal });
  const [state, ...units] = new TextDecoder().decode(stdout).trim().split("\n");
  if (state === "running") return;
  const names = units.map((unit) => unit.split(" ")[0]).join(", ");
  throw new BangerError(
    "guest",
    `systemd is ${state} without a network: ${names || "no unit failed"}`,
  );
}

/** The files of an identity are there then: to write to them is cheaper than to create them, in every machine. */
function noIdentity({ isBuild }: VmRecord["spec"]): Partial<BootRecord> {
  return {
    hostname: "template",
    network: undefined,
    sshHostKey: isBuild ? undefined : generateHostKey("template").private,
    machineId: randomBytes(16).toString("hex"),
    env: {},
    template: { mac: TEMPLATE_MAC },
    entropySeed: randomBytes(64),
  };
}
