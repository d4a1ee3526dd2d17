/** Puts a machine on disk, as it is at one moment: memory and disk, or the disk alone. */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError } from "#base/error.ts";
import { copySparse } from "#base/files/copy-file.ts";
import type { WorkOptions } from "#base/progress.ts";
import type { SnapshotDescription } from "#snapshots/record.ts";
import type { SnapshotFiles } from "#snapshots/snapshots.ts";
import { assertRoomFor } from "#vm/before-save.ts";
import type { VmDeps } from "#vm/deps.ts";
import { lowersOf, modulesOf } from "#vm/image-boot.ts";
import type { RunningMachine } from "#vm/life/running-machines.ts";
import type { VmRecord } from "#vm/records.ts";
import type { Machine } from "#vmm/driver.ts";
import { rootfsMark } from "./rootfs-mark.ts";

export interface Taken {
  description: SnapshotDescription;
  /** Undefined when it did not run. */
  pause_ms: number | undefined;
}

export interface TakeOptions extends WorkOptions {
  /** Undefined for a machine that does not run. One that is paused stays so. */
  running: RunningMachine | undefined;
  diskOnly?: boolean | undefined;
}

/** For whoever has the machine's turn. It goes on, whatever happens. */
export async function takeSnapshot(
  deps: VmDeps,
  vm: VmRecord,
  { files, running, diskOnly, signal }: TakeOptions & { files: SnapshotFiles },
): Promise<Taken> {
  const { disk } = deps.config.paths.vm(vm.id);
  const what = `Cannot save machine "${vm.name}"`;
  const memoryOf = diskOnly ? undefined : running?.link.machine.handle.pid;
  assertRoomFor(vm, { folder: dirname(files.disk), memoryOf, disk, what });
  const copyDisk = () => copySparse(disk, files.disk, { signal });
  let pause_ms: number | undefined;
  let memory: SnapshotDescription["memory"];
  if (!running) await copyDisk();
  else if (diskOnly) pause_ms = await pauseFor(vm, running, copyDisk);
  else {
    memory = await memoryKeyOf(deps, vm, running);
    pause_ms = await saveAll(vm, running, { files, copyDisk, signal });
  }
  const { size } = statSync(files.disk);
  return { description: describe(deps, vm, { memory, disk_bytes: size }), pause_ms };
}

type CopyDisk = () => Promise<void>;

interface SaveOptions {
  files: SnapshotFiles;
  copyDisk: CopyDisk;
  signal: AbortSignal | undefined;
}

/** Gives how long the machine stood still. */
async function saveAll(
  vm: VmRecord,
  { link }: RunningMachine,
  { files, copyDisk, signal }: SaveOptions,
): Promise<number> {
  const { machine } = link;
  let paused_ms = performance.now();
  const onPause = () => {
    paused_ms = performance.now();
  };
  await whilePaused(vm, machine, async () => {
    const target = { memoryPath: files.memory, statePath: files.state };
    await machine.snapshot?.(target, { signal, onPause });
    await copyDisk();
  });
  return Math.round(performance.now() - paused_ms);
}

/** Its journal makes up for what the guest writes since it wrote all. */
async function pauseFor(
  vm: VmRecord,
  { link }: RunningMachine,
  copyDisk: CopyDisk,
): Promise<number> {
  const { machine } = link;
  if (!machine.pause || !machine.resume) {
    throw new BangerError("unsupported", `Cannot save the disk of "${vm.name}" while it runs`, {
      hint: `Stop it first: banger vm stop ${vm.name}`,
    });
  }
  const paused_ms = performance.now();
  await whilePaused(vm, machine, async () => {
    await machine.pause?.();
    await copyDisk();
  });
  return Math.round(performance.now() - paused_ms);
}

/** `work` may have failed for the reason that the machine cannot go on, which says more than that. */
async function whilePaused(
  vm: VmRecord,
  machine: Machine,
  work: () => Promise<void>,
): Promise<void> {
  let failure: unknown;
  try {
    await work();
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    if (vm.state === "running") {
      await machine.resume?.().catch((error) => {
        throw failure ?? error;
      });
    }
  }
}

/** `unsupported`, with the way that there is. */
async function memoryKeyOf(deps: VmDeps, vm: VmRecord, { link }: RunningMachine) {
  const driver = deps.drivers.find(({ name }) => name === link.machine.handle.driver);
  const key = driver?.features.snapshot ? await driver.snapshotKey?.() : undefined;
  if (driver && key !== undefined && link.machine.snapshot) {
    return { driver: driver.name, snapshotKey: key };
  }
  const text = `Cannot save the memory of "${vm.name}": not supported with ${driver?.title}`;
  throw new BangerError("unsupported", text, {
    hint: `Save the disk alone: banger vm snapshot create --disk-only ${vm.name}`,
  });
}

function describe(
  deps: VmDeps,
  vm: VmRecord,
  { memory, disk_bytes }: { memory: SnapshotDescription["memory"]; disk_bytes: number },
): SnapshotDescription {
  const image = deps.images.show(vm.imageId);
  const { started } = vm.spec;
  const {
    mode,
    guest,
    limits,
    network,
    networks,
    allow,
    ask,
    lineage,
    command,
    commandOptions,
    restart,
    provisioned,
  } = vm.spec;
  return {
    machine: { id: vm.id, name: vm.name },
    image: {
      id: image.id,
      name: image.name,
      digest: image.digest,
      rootfs: memory && rootfsMark(image.rootfs),
    },
    kernel: vm.kernel,
    spec: {
      mode,
      limits,
      network,
      networks: networks && [...networks],
      allow: allow && [...allow],
      ask,
      lineage,
      command: command && [...command],
      commandOptions,
      restart,
      guest,
      provisioned,
      disk_bytes,
      env: vm.spec.env,
      // Of the memory, not of the next start.
      cpus: started?.cpus ?? vm.spec.cpus,
      memory_mib: started?.memory_mib ?? vm.spec.memory_mib,
    },
    lowers: lowersOf(deps, vm, image).length,
    modules: modulesOf(deps, vm),
    memory,
  };
}
