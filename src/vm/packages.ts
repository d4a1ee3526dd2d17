/**
 * Packages from the host for the first boot of a Debian image. They are prepared while the machine boots; the guest
 * waits for them at the start of its installation, and downloads them itself if the host could not.
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { getLogger } from "@logtape/logtape";
import { throwIfAborted } from "#base/abort.ts";
import { messageOf } from "#base/error.ts";
import { type OnProgress, type Progress, warningProgress } from "#base/progress.ts";
import type { Agent } from "#guest/agent.ts";
import { exitCodeOf } from "#guest/exec.ts";
import { hasHostApt } from "#images/packages/apt.ts";
import type { PackageRepository } from "#images/packages/packages.ts";
import type { UnpackedPackages } from "#images/packages/unpack.ts";
import type { VmDeps } from "./deps.ts";
import { installerOf } from "./mode.ts";
import type { VmRecord } from "./records.ts";

const log = getLogger(["banger", "vm"]);

/** On the kernel's command line: read by guest/boot/first-boot.sh, which expects the packages in PLACE. */
export const PACKAGES_ARGUMENT = "banger.packages=host";
const PLACE = "/run/banger/disk/packages";
const FIRST_BOOT = "/usr/local/libexec/banger-first-boot";
/** Pipe from which the guest reads the answer. Opened read-write, so that the write never blocks without a reader. */
const ANSWER = ["sh", "-c", '[ ! -p "$0" ] || echo "$1" 1<>"$0"', "/run/banger/packages"];
/** After this the guest downloads the packages itself. */
const PREPARE_MAX_MS = 180_000;

export interface OfferOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export interface PackageOffer extends AsyncDisposable {
  /** Answers the waiting guest. Never rejects. */
  answer(agent: Agent): Promise<void>;
}

/**
 * Whether the host prepares packages: not if the guest may not reach their servers, and not after a failed first boot,
 * when its disk is ahead of its image.
 */
export function isOffered(deps: VmDeps, vm: VmRecord): boolean {
  const { mode, provisioned, network, allow } = vm.spec;
  const isFirstBoot = vm.startedAt === undefined;
  if (mode !== "systemd" || provisioned || !isFirstBoot) return false;
  if (network === "none" || allow || deps.config.values["vm.host_packages"] === "off") return false;
  const image = deps.images.show(vm.imageId);
  return !image.files.workSeed && hasHostApt() && installerOf(image) === "apt-get";
}

export function offerPackages(deps: VmDeps, vm: VmRecord, options: OfferOptions): PackageOffer {
  const stop = new AbortController();
  const limit = AbortSignal.timeout(PREPARE_MAX_MS);
  const signals = [stop.signal, limit, ...(options.signal ? [options.signal] : [])];
  const signal = AbortSignal.any(signals);
  // No progress is shown until the guest waits: until then, the boot is what takes time.
  let report: OnProgress | undefined;
  let latest: Progress | undefined;
  const onProgress = (progress: Progress): void => {
    latest = progress;
    report?.(progress);
  };
  const preparing = isOffered(deps, vm)
    ? deps.images.preparePackages(vm.imageId, { signal, onProgress })
    : undefined;
  preparing?.catch(() => {});
  return {
    async answer(agent) {
      report = options.onProgress;
      if (latest) report?.(latest);
      const word = preparing && (await give(agent, preparing, { ...options, vm, signal }));
      const done = agent.run([...ANSWER, word ?? "none"], { signal: options.signal });
      await done.catch((error) =>
        log.warn("{name}: cannot answer: {message}", { name: vm.name, message: messageOf(error) }),
      );
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      const repository = await preparing?.catch(() => undefined);
      repository?.[Symbol.dispose]();
    },
  };
}

/** "unpacked", "given", or undefined if the guest has to get them itself. */
async function give(
  agent: Agent,
  preparing: Promise<PackageRepository>,
  { vm, signal, onProgress }: OfferOptions & { vm: VmRecord; signal: AbortSignal },
): Promise<string | undefined> {
  try {
    const repository = await preparing;
    const { count, unpacked } = repository;
    log.info("{name}: {count} packages from the host", { name: vm.name, count });
    if (unpacked && (await unpack(agent, unpacked, { vm, signal, onProgress }))) return "unpacked";
    await send(agent, PLACE, repository, { signal, onProgress });
    return "given";
  } catch (error) {
    const message = `the machine downloads its packages itself: ${messageOf(error)}`;
    log.warn("{name}: {message}", { name: vm.name, message });
    onProgress?.(warningProgress(message));
    await agent.files.remove(PLACE, { recursive: true }).catch(() => {});
    return undefined;
  }
}

/** Whether the packages are unpacked: not if their scripts fail, or tell dpkg where files of others are to be. */
async function unpack(
  agent: Agent,
  unpacked: UnpackedPackages,
  { vm, signal, onProgress }: OfferOptions & { vm: VmRecord; signal: AbortSignal },
): Promise<boolean> {
  const { count, size_bytes } = unpacked;
  const scripts = await agent.files.writeTar(PLACE, { signal });
  await pipeline(Readable.from(unpacked.scripts()), scripts.writable);
  await scripts.finished;
  const limit = { timeout_ms: PREPARE_MAX_MS, signal };
  const { status } = await agent.run([FIRST_BOOT, "preinst"], limit);
  if (exitCodeOf(status) === 0) {
    await send(agent, "/", { count, size_bytes, tar: unpacked.tree }, { signal, onProgress });
    return true;
  }
  log.warn("{name}: the machine unpacks the packages", { name: vm.name });
  await agent.files.remove(PLACE, { recursive: true });
  return false;
}

async function send(
  agent: Agent,
  place: string,
  repository: Pick<PackageRepository, "count" | "size_bytes" | "tar">,
  { signal, onProgress }: { signal: AbortSignal; onProgress?: OnProgress | undefined },
): Promise<void> {
  const { writable, finished } = await agent.files.writeTar(place, { signal });
  const total = repository.size_bytes;
  const report = (value: number): void =>
    onProgress?.({
      step: "give packages",
      message: `Copying ${repository.count} packages to the machine`,
      done: value,
      total,
      unit: "bytes",
    });
  async function* counted(): AsyncGenerator<Uint8Array> {
    let done = 0;
    for await (const chunk of repository.tar()) {
      yield chunk;
      done += chunk.length;
      // Complete only once the guest has extracted it.
      report(Math.min(done, total - 1));
    }
  }
  try {
    await pipeline(Readable.from(counted()), writable);
  } catch (error) {
    throwIfAborted(signal);
    // The extraction's error is more useful than the broken pipe to it.
    await finished;
    throw error;
  }
  await finished;
  report(total);
}
