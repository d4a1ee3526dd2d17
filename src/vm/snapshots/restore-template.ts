/** Restores a new machine from the template of its kind, in place of its first boot. */
import { rmSync, statSync } from "node:fs";
import type { Image } from "#api/image.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { copySparse } from "#base/files/copy-file.ts";
import type { WorkOptions } from "#base/progress.ts";
import { type BootRecord, encodeBootRecord } from "#guest/boot.ts";
import type { BootKernel } from "#kernels/service.ts";
import { timeNow_unix_ns } from "#vm/boot-record.ts";
import type { VmDeps } from "#vm/deps.ts";
import { modulesOf } from "#vm/image-boot.ts";
import { dropTemplate, templateFor } from "#vm/life/template.ts";
import type { VmRecord } from "#vm/records.ts";
import { identityPath } from "#vm/suspend/wake.ts";
import type { BootSpec, Driver, Machine } from "#vmm/driver.ts";

export interface RestoreParts {
  driver: Driver;
  reason: string;
  image: Image;
  kernel: BootKernel;
  spec: BootSpec;
  record: BootRecord;
  initrd: (record: BootRecord) => Uint8Array;
  lowers: number;
}

/** Undefined where there can be no template. The machine waits for its identity then. */
export async function restoreTemplate(
  deps: VmDeps,
  vm: VmRecord,
  { kernel, record, initrd, ...parts }: RestoreParts,
  options: WorkOptions & { extend?: (() => void) | undefined },
): Promise<{ machine: Machine; template: string } | undefined> {
  const paths = deps.config.paths.vm(vm.id);
  const template = await templateFor(
    deps,
    vm,
    {
      ...parts,
      kernelDigest: kernel.digest,
      modules: modulesOf(deps, vm),
      makeInitrd: (identity) => initrd({ ...record, ...identity }),
    },
    options,
  );
  if (!template) return undefined;
  options.onProgress?.({ step: "restore", message: `Restoring ${vm.name}` });
  const { files } = template;
  try {
    rmSync(paths.disk, { force: true });
    await copySparse(files.disk, paths.disk, options);
    const { disk_bytes } = vm.spec;
    const grown_bytes = statSync(files.disk).size < disk_bytes ? disk_bytes : undefined;
    // Sent to the machine by the daemon that waits for it: this one, or its successor.
    const identity = {
      ...record,
      disk_bytes: grown_bytes,
      time_unix_ns: timeNow_unix_ns(),
    };
    const encoded = encodeBootRecord(identity);
    writeFileAtomic(identityPath(paths.runtime), encoded, { isTransient: true });
    const drives = parts.spec.drives.map((drive) =>
      drive.readOnly || drive.volume_bytes !== undefined ? drive : { ...drive, grown_bytes },
    );
    const own = { ...parts.spec, initrdPath: files.initrd, drives };
    const snapshot = { memoryPath: files.memory, statePath: files.state };
    const machine = await parts.driver.restore?.(own, snapshot, options.signal);
    return machine && { machine, template: template.key };
  } catch (error) {
    rmSync(identityPath(paths.runtime), { force: true });
    if (options.signal?.aborted) throw error;
    dropTemplate(deps.templates, { key: template.key, vm, error }, options);
    rmSync(paths.disk, { force: true });
    return undefined;
  }
}
