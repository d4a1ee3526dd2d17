/** What a new machine is restored from in place of its boot: found, or made by booting a machine without an identity. */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import type { Image } from "#api/image.ts";
import { type Digest, sha256 } from "#base/digest.ts";
import { BangerError, messageOf, toBangerError } from "#base/error.ts";
import { type WorkOptions, warningProgress } from "#base/progress.ts";
import { formatEmpty } from "#ext4/empty/empty.ts";
import { connectAgent } from "#guest/agent.ts";
import type { BootRecord } from "#guest/boot.ts";
import { readAgentBinary, readFirstBoot } from "#guest/embedded.ts";
import { INTERMEDIATE_REFERENCE } from "#images/records.ts";
import type { TemplateFiles, Templates } from "#snapshots/templates.ts";
import type { VmDeps } from "#vm/deps.ts";
import { isImageKernel } from "#vm/image-boot.ts";
import type { VmRecord } from "#vm/records.ts";
import type { BootSpec, Driver } from "#vmm/driver.ts";

const log = getLogger(["banger", "vm"]);

/** Part of every key: grows when a template of before would not do any more. */
const KEY_FORMAT = 2;
/** Locally administered; no machine has it when it is connected. */
export const TEMPLATE_MAC = "02:00:00:00:00:01";
/** The longest that a timer takes. */
const NEVER_MS = 2 ** 31 - 1;

export interface TemplateParts {
  driver: Driver;
  /** Why this driver, for people. */
  reason: string;
  image: Image;
  kernelDigest: Digest;
  lowers: number;
  /** Of the machine: what is in it that is its own is replaced. */
  spec: BootSpec;
  /** The initrd of the machine that becomes the template. */
  makeInitrd: (identity: Partial<BootRecord>) => Uint8Array;
}

/**
 * The template for a new machine, made first if there is none. Undefined where machines of its kind boot,
 * and whenever a template cannot be made, as long as the machine itself can boot.
 */
export async function templateFor(
  deps: VmDeps,
  vm: VmRecord,
  parts: TemplateParts,
  options: WorkOptions,
): Promise<{ files: TemplateFiles; key: string } | undefined> {
  const { templates } = deps;
  if (!templates || !isEligible(vm, parts)) return undefined;
  const key = await keyOf(vm, parts);
  let isRefused = false;
  const onRefused = () => {
    isRefused = true;
  };
  try {
    const files = await templates.ensure(
      key,
      parts.image.name,
      (made) => make({ vm, parts, key, options, onRefused }, made),
      {
        signal: options.signal,
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
  const message = `${what}: ${messageOf(error)}`;
  log.warn("{name}: {message}", { name: vm.name, message });
  onProgress?.(warningProgress(message));
}

function isEligible(vm: VmRecord, { driver, image }: TemplateParts): boolean {
  const isKnown = image.managed && image.digest !== undefined && !isImageKernel(vm.kernel);
  // One that a build makes on its way is gone with it.
  const isKept = image.reference !== INTERMEDIATE_REFERENCE;
  const isPlain = vm.spec.mode === "direct";
  return isKnown && isKept && isPlain && driver.features.snapshot && driver.restore !== undefined;
}

/** Everything that the memory or the devices of a machine follow from. */
async function keyOf(vm: VmRecord, parts: TemplateParts): Promise<string> {
  const { spec, image, kernelDigest, lowers, driver } = parts;
  const { mode, cpus, memory_mib, disk_bytes } = vm.spec;
  const kind = {
    format: KEY_FORMAT,
    vmm: await driver.snapshotKey?.(),
    image: [image.id, image.digest],
    kernel: kernelDigest,
    agent: agentDigest(),
    mode,
    cpus,
    memory_mib,
    disk_bytes,
    lowers,
    isBuild: vm.spec.isBuild === true,
    kernelArgs: spec.kernelArgs,
    network: spec.network?.kind,
  };
  return sha256(JSON.stringify(kind)).slice("sha256:".length);
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
  options: WorkOptions;
  /** The VMM refuses such a machine, with or without a template. */
  onRefused: () => void;
}

/** Boots a machine without an identity, and keeps what that ends in. */
async function make(making: Making, files: TemplateFiles): Promise<void> {
  const { vm, parts, key, options, onRefused } = making;
  const { driver, spec } = parts;
  const { signal, onProgress } = options;
  onProgress?.({ step: "boot", message: `Booting ${vm.name} (${parts.reason})` });
  const runtimeDir = templateRuntime(spec.runtimeDir);
  try {
    mkdirSync(runtimeDir, { recursive: true, mode: 0o700 });
    const seed = sha256(key);
    await formatEmpty(files.disk, { size_bytes: vm.spec.disk_bytes, seed, label: "banger" });
    writeFileSync(files.initrd, parts.makeInitrd(noIdentity()), { mode: 0o600 });
    const drives = [...spec.drives.slice(0, -1), { path: files.disk, readOnly: false }];
    const own = {
      ...spec,
      runtimeDir,
      initrdPath: files.initrd,
      drives,
      network: spec.network && { ...spec.network, mac: TEMPLATE_MAC },
    };
    const machine = await driver.boot(own, signal).catch((error: unknown) => {
      if (toBangerError(error).code === "limit_exceeded") onRefused();
      throw error;
    });
    try {
      const ended = machine.exited.then(({ kind }) => {
        throw new BangerError("guest", `the machine stopped: ${kind}`);
      });
      await Promise.race([untilReady(machine, signal), ended]);
      if (!machine.snapshot)
        throw new BangerError("unsupported", "this VMM does not support snapshots");
      await machine.snapshot({ memoryPath: files.memory, statePath: files.state }, { signal });
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
  signal: AbortSignal | undefined,
): Promise<void> {
  const timeout = { timeout_ms: NEVER_MS, signal };
  const agent = await connectAgent(await machine.connectAgent(signal), timeout);
  await agent.waitReady(timeout);
  agent.close();
  await agent.closed;
}

function noIdentity(): Partial<BootRecord> {
  return {
    hostname: "template",
    network: undefined,
    authorizedKeys: [],
    sshHostKey: undefined,
    machineId: "0".repeat(32),
    env: {},
    template: { mac: TEMPLATE_MAC },
    entropySeed: randomBytes(64),
  };
}
