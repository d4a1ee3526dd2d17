/** What a machine is restored from in place of a boot, and how that is done. */
import { rmSync, writeFileSync } from "node:fs";
import { messageOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { type WorkOptions, warningProgress } from "#base/progress.ts";
import { type BootRecord, encodeBootRecord } from "#guest/boot.ts";
import type { VmRecord } from "#vm/records.ts";
import { identityPath } from "#vm/suspend/wake.ts";
import type { BootSpec, Driver, Machine } from "#vmm/driver.ts";
import { rootfsMark } from "./rootfs-mark.ts";

/** QEMU wants a file, which nobody reads any more. */
const NO_INITRD_BYTES = 512;

export interface MemorySource {
  /** For people: a snapshot, or the machine that is copied. */
  title: string;
  memoryPath: string;
  statePath: string;
  driver: Driver["name"];
  /** Of the driver that it was made by. */
  snapshotKey: string;
  lowers: number;
  /** See `rootfsMark`; undefined in a snapshot of an older banger. */
  rootfs: string | undefined;
  /** Identifies the disk with the kernel's modules; undefined if there is none. */
  modules: string | undefined;
  network: VmRecord["spec"]["network"];
}

export interface RestoreParts {
  driver: Driver;
  spec: BootSpec;
  identity: BootRecord;
  /** The read-only disks of the machine. */
  now: { lowers: number; modules: string | undefined };
}

/**
 * A machine from the memory of `source`, whose disk is in place already; it waits for its identity. Undefined
 * where that cannot be, which is told in a line: the machine boots from the disk then.
 */
export async function restoreMemory(
  source: MemorySource,
  vm: VmRecord,
  parts: RestoreParts,
  options: WorkOptions,
): Promise<Machine | undefined> {
  const { driver, spec, identity } = parts;
  const path = identityPath(spec.runtimeDir);
  const obstacle = await obstacleTo(source, vm, parts);
  if (obstacle !== undefined) {
    tell(source, obstacle, options);
    return undefined;
  }
  options.onProgress?.({ step: "restore", message: `Restoring ${vm.name}` });
  try {
    writeFileAtomic(path, encodeBootRecord(identity));
    writeFileSync(spec.initrdPath, new Uint8Array(NO_INITRD_BYTES), { mode: 0o600 });
    return await driver.restore?.(spec, source, options.signal);
  } catch (error) {
    rmSync(path, { force: true });
    if (options.signal?.aborted) throw error;
    tell(source, messageOf(error), options);
    return undefined;
  }
}

async function obstacleTo(
  source: MemorySource,
  vm: VmRecord,
  { driver, spec, now }: RestoreParts,
): Promise<string | undefined> {
  if (driver.name !== source.driver) return `it is for ${source.driver}, not ${driver.name}`;
  if (!driver.restore || !driver.features.snapshot) return `${driver.title} cannot restore memory`;
  if ((await driver.snapshotKey?.()) !== source.snapshotKey) {
    return `${driver.title} or the host's processor is another one now`;
  }
  const [rootfs] = spec.drives;
  if (source.rootfs !== undefined && rootfs && rootfsMark(rootfs.path) !== source.rootfs) {
    return "the image has another file system now";
  }
  if (now.lowers !== source.lowers) return "the image has other layers now";
  if (now.modules !== source.modules) return "the kernel has other modules now";
  if (deviceOf(vm.spec.network) !== deviceOf(source.network)) {
    return "its network is of another kind";
  }
  return undefined;
}

function deviceOf(network: MemorySource["network"]): string {
  return network === "nat" || network === "host" ? "tap" : network;
}

function tell({ title }: MemorySource, why: string, { onProgress }: WorkOptions): void {
  onProgress?.(
    warningProgress(`Cannot restore the memory of ${title}, booting from its disk: ${why}`),
  );
}
