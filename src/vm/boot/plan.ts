/** What a machine is booted or restored with: kernel, drives, network and initrd, all of it there. */
import { readFileSync } from "node:fs";
import type { Image } from "#api/image.ts";
import { type WorkOptions, warningProgress } from "#base/progress.ts";
import { MiB } from "#base/size.ts";
import type { BootRecord } from "#guest/boot.ts";
import { readAgentBinary, readFirstBoot } from "#guest/embedded.ts";
import { buildInitrd, buildStaticInitrd } from "#guest/initrd.ts";
import type { BootKernel } from "#kernels/service.ts";
import type { Attachment } from "#net/network.ts";
import { bootRecord } from "#vm/boot-record.ts";
import type { VmDeps } from "#vm/deps.ts";
import { bootKernel, inFrontOf, lowersOf, moduleDisk } from "#vm/image-boot.ts";
import { effectivePolicy } from "#vm/network/egress-policy.ts";
import type { VmRecord } from "#vm/records.ts";
import type { FuseShare } from "#vm/shares/server.ts";
import { bandwidthOf, diskLimits } from "#vm/spec.ts";
import { sharesOf, volumeDrives } from "#vm/volumes/attach.ts";
import { shareTransport } from "#vm/volumes/share-kernel.ts";
import { makeCgroup } from "#vmm/cgroup.ts";
import type { BootSpec, Driver, Share } from "#vmm/driver.ts";

export interface PlanOptions extends WorkOptions {
  driver: Driver;
  image: Image;
  /** For the kernel's command line. */
  kernelArgs: readonly string[];
  /** As `moduleDisk` takes it. */
  source?: { modules: string | undefined } | undefined;
  isWoken?: boolean;
  endsWithUs: boolean;
}

export interface BootPlan {
  kernel: BootKernel;
  attachment: Attachment;
  record: BootRecord;
  spec: BootSpec;
  /** Read-only disks between the image and the machine's own. */
  lowers: number;
  /** Those that are mounted when it runs. */
  fuseShares: FuseShare[];
  initrd: (own: BootRecord) => Uint8Array;
}

/** Connects the machine to its network; `cleanUp` takes that back. Its runtime directory is there already. */
export async function planBoot(
  deps: VmDeps,
  vm: VmRecord,
  { driver, image, source, isWoken = false, ...options }: PlanOptions,
): Promise<BootPlan> {
  const paths = deps.config.paths.vm(vm.id);
  const { vsock } = driver.features;
  const kernel = await bootKernel(deps, vm, { image, vsock, signal: options.signal });
  const lowers = lowersOf(deps, vm, image);
  const modules = await moduleDisk(deps, vm, { kernel, source, isWoken });
  const attachment = await attach(deps, vm, options);
  const disks = { lowers: lowers.length, hasModulesDisk: modules !== undefined };
  const shares = sharesOf(vm.spec);
  const isFuse = (await shareTransport(deps, vm, driver)) === "fuse";
  const record = bootRecord(deps, vm, { image, kernel, attachment, ...disks });
  const spec: BootSpec = {
    id: vm.id,
    runtimeDir: paths.runtime,
    consolePath: paths.console,
    logPath: paths.vmmLog,
    cpus: vm.spec.cpus,
    memory_mib: vm.spec.memory_mib,
    kernelPath: kernel.path,
    initrdPath: paths.initrd,
    kernelArgs: ["rdinit=/init", ...options.kernelArgs],
    drives: [
      ...[image.rootfs, ...lowers].map((path) => ({ path, readOnly: true })),
      { path: paths.disk, readOnly: false },
      ...(modules ? [{ path: modules, readOnly: true }] : []),
      ...volumeDrives(deps.volumes, vm.spec),
    ],
    diskLimits: diskLimits(vm.spec),
    shares: isFuse ? undefined : shares,
    network: deviceOf(attachment),
    cgroup: ownCgroup(vm),
    endsWithUs: options.endsWithUs,
  };
  const initrd = (own: BootRecord) => inFrontOf(kernel.initrd, initrdOf(kernel, own));
  const fuseShares = isFuse ? shares.map((share, index) => fuseShareOf(vm, share, index)) : [];
  return { kernel, attachment, record, spec, lowers: lowers.length, fuseShares, initrd };
}

function fuseShareOf({ spec }: VmRecord, share: Share, index: number): FuseShare {
  const path = spec.shares?.[index]?.path ?? "";
  return { directory: share.path, path, isReadOnly: share.readOnly };
}

function ownCgroup({ runtime, spec }: VmRecord): string | undefined {
  const cgroup = runtime?.cgroup;
  if (cgroup) makeCgroup(cgroup, { cpus: spec.cpus, memory_bytes: spec.memory_mib * MiB });
  return cgroup;
}

async function attach(
  deps: VmDeps,
  { id, spec }: VmRecord,
  { signal, onProgress }: WorkOptions,
): Promise<Attachment> {
  const { network, address, mac, networks } = spec;
  const policy = effectivePolicy(spec);
  const bandwidth = bandwidthOf(spec);
  const wanted = { machineId: id, mode: network, address, mac, networks, policy, bandwidth };
  const attachment = await deps.network.attach(wanted, signal);
  for (const message of "warnings" in attachment ? attachment.warnings : []) {
    onProgress?.(warningProgress(message));
  }
  return attachment;
}

/** The same for all machines of one kernel, so it is put together once. */
const staticParts = new Map<string, Uint8Array>();

function initrdOf(kernel: BootKernel, record: BootRecord): Uint8Array {
  const fixed =
    staticParts.get(kernel.digest) ??
    buildStaticInitrd({
      agent: readAgentBinary(),
      firstBoot: readFirstBoot(),
      modules: kernel.modules.map(({ name, path }) => ({ name, data: readFileSync(path) })),
    });
  staticParts.set(kernel.digest, fixed);
  return buildInitrd(fixed, record);
}

function deviceOf(attachment: Attachment): BootSpec["network"] {
  if (attachment.mode === "none") return undefined;
  if (attachment.mode === "user") return { kind: "user", mac: attachment.mac };
  const { tap, mac, namespacePid } = attachment;
  return { kind: "tap", tap, mac, namespacePid };
}
