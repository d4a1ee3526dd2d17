/** Snapshots of machines, machines made from them, machines set back to them, and copies of machines that run. */
import { renameSync, rmSync } from "node:fs";
import type { Image } from "#api/image.ts";
import type { Snapshot, SnapshotCreated, VmFork, VmForked } from "#api/snapshot.ts";
import type { Vm, VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import { copySparse } from "#base/files/copy-file.ts";
import { type WorkOptions, warningProgress } from "#base/progress.ts";
import { exportSnapshot, importSnapshot } from "#snapshots/archive.ts";
import type { SnapshotDescription, SnapshotRecord } from "#snapshots/record.ts";
import type { SnapshotFiles, StoredSnapshot } from "#snapshots/snapshots.ts";
import type { VmDeps } from "#vm/deps.ts";
import { isImageKernel } from "#vm/image-boot.ts";
import type { BootOptions } from "#vm/life/boot.ts";
import type { Lifecycle } from "#vm/life/lifecycle.ts";
import { assertHere } from "#vm/life/owner.ts";
import type { RunningMachine } from "#vm/life/running-machines.ts";
import { requireState } from "#vm/machine.ts";
import { makeName } from "#vm/names.ts";
import { findVm, getVm, toApi, type VmRecord } from "#vm/records.ts";
import { type CopySource, copyRequest, makeCopy } from "./copies.ts";
import { allMade, assertFreePorts, forkNames } from "./fork.ts";
import type { MemorySource } from "./source.ts";
import { syncDisk, takeSnapshot } from "./take.ts";

/** One that is suspended has no process, and its memory goes with the disk as that is. */
const CAN_BE_SAVED = ["running", "paused", "stopped"] as const;

export class VmSnapshots {
  readonly #deps: VmDeps;
  readonly #lifecycle: Lifecycle;

  constructor(deps: VmDeps, lifecycle: Lifecycle) {
    this.#deps = deps;
    this.#lifecycle = lifecycle;
  }

  list(): Snapshot[] {
    return this.#deps.snapshots.list().map(toSnapshot);
  }

  show(name: string): Snapshot {
    return toSnapshot(this.#deps.snapshots.find(name));
  }

  usage(): { count: number; size_bytes: number } {
    return this.#deps.snapshots.usage();
  }

  /** With the memory of a machine that runs, unless `diskOnly`. */
  async create(
    ref: string,
    {
      snapshot,
      diskOnly,
      ...options
    }: WorkOptions & { snapshot?: string | undefined; diskOnly?: boolean | undefined },
  ): Promise<SnapshotCreated> {
    const { snapshots } = this.#deps;
    const name = snapshot ?? makeName((made) => snapshots.has(made));
    snapshots.assertFree(name);
    return await this.#withMachine(ref, "snapshot", async (vm, running) => {
      options.onProgress?.({ step: "snapshot", message: `Saving ${vm.name} as ${name}` });
      if (running) await syncDisk(vm, running, options.signal);
      let pause_ms: number | undefined;
      const made = await snapshots.create(name, async (files) => {
        const taken = await takeSnapshot(this.#deps, vm, { files, running, diskOnly, ...options });
        pause_ms = taken.pause_ms;
        return taken.description;
      });
      return { snapshot: toSnapshot(made), pause_ms };
    });
  }

  remove(name: string): void {
    this.#deps.snapshots.remove(name);
  }

  async export(
    name: string,
    options: WorkOptions & { path: string; force?: boolean | undefined },
  ): Promise<{ path: string; size_bytes: number }> {
    const found = this.#deps.snapshots.find(name);
    this.#deps.snapshots.assertDisk(found);
    const isWhole = !found.record.memory || this.#deps.snapshots.isMemoryWhole(found);
    if (!isWhole) {
      throw new BangerError(
        "integrity",
        `Cannot export snapshot "${name}": its memory was changed`,
      );
    }
    return { path: options.path, size_bytes: await exportSnapshot(found, options) };
  }

  async import(
    path: string,
    { name: given, ...options }: WorkOptions & { name?: string | undefined },
  ): Promise<Snapshot> {
    const { snapshots } = this.#deps;
    if (given !== undefined) snapshots.assertFree(given);
    const made = await snapshots.add(async (files) => {
      let name = "";
      const onRecord = (own: string): void => {
        name = given ?? checkedName(own);
        snapshots.assertFree(name);
      };
      const record = await importSnapshot(path, files, { ...options, onRecord });
      const image = imageOf(this.#deps, record);
      return { name, record: { ...record, image: { ...record.image, id: image?.id ?? "" } } };
    });
    return toSnapshot(made);
  }

  /** A machine with the disk of a snapshot, and its memory where that can be. */
  async createMachine(request: VmCreate & { snapshot: string }, options: BootOptions): Promise<Vm> {
    const wanted = copyRequest(request);
    const source = await this.#sourceOf(request.snapshot, options);
    using _held = this.#deps.images.hold(source.imageId);
    return await makeCopy(this.#context(), source, { ...options, request: wanted });
  }

  /** Sets a machine back to a snapshot of it. What it has done since is lost. */
  async restore(ref: string, name: string, options: BootOptions): Promise<Vm> {
    const { db, snapshots, config } = this.#deps;
    const vm = getVm(db, ref);
    const found = snapshots.find(name);
    if (found.record.machine.id !== vm.id) {
      throw new BangerError(
        "invalid_state",
        `Cannot restore "${vm.name}" from snapshot "${name}": it is of another machine, ${found.record.machine.name}`,
        { hint: `Create a machine from it with: banger vm create --snapshot ${name}` },
      );
    }
    snapshots.assertDisk(found);
    const memory = this.#memoryOf(found, options);
    const wasRunning = this.#lifecycle.running(vm.id) !== undefined;
    const prepare = async (): Promise<void> => {
      const now = getVm(db, vm.id);
      assertHere(now, "restore", this.#deps.owner);
      requireState(now, "restore", CAN_BE_SAVED);
      assertKept(now, "restore");
      const { disk } = config.paths.vm(vm.id);
      const staging = stagingPath(disk);
      try {
        await copySparse(found.files.disk, staging, options);
        const running = this.#lifecycle.running(vm.id);
        if (running) await this.#lifecycle.end(running);
        renameSync(staging, disk);
      } finally {
        rmSync(staging, { force: true });
      }
      const { cpus, memory_mib, disk_bytes } = found.record.spec;
      const { pending: _, started: __, ...spec } = getVm(db, vm.id).spec;
      this.#lifecycle.change(vm.id, { spec: { ...spec, cpus, memory_mib, disk_bytes } });
    };
    if (memory || wasRunning) {
      await this.#lifecycle.start(vm.id, { ...options, prepare, from: memory ?? "disk" });
    } else await this.#lifecycle.inTurn(vm.id, prepare);
    return toApi(getVm(db, vm.id));
  }

  /** Copies of a machine that runs, which goes on. */
  async fork(request: VmFork, options: BootOptions): Promise<VmForked> {
    const { db, snapshots } = this.#deps;
    const names = forkNames(request);
    assertFreePorts(request);
    const taken = names.find((name) => name !== undefined && findVm(db, name)?.name === name);
    if (taken !== undefined) {
      throw new BangerError(
        "already_exists",
        `Cannot create machine "${taken}": the name is already in use`,
        {
          hint: "Use a different --name",
        },
      );
    }
    return await snapshots.withScratch(async (files) => {
      const { vm, description, pause_ms } = await this.#withMachine(
        request.name,
        "fork",
        async (found, running) => {
          if (!running) requireState(found, "fork", ["running"]);
          options.onProgress?.({ step: "snapshot", message: `Saving ${found.name}` });
          const saved = await takeSnapshot(this.#deps, found, { files, running, ...options });
          return { vm: found, ...saved };
        },
      );
      const source = forkSource(vm, description, files);
      const making = names.map((name) =>
        makeCopy(this.#context(), source, { ...options, request: { name, ports: request.ports } }),
      );
      const remove = (id: string) => this.#lifecycle.removal.remove(id, { force: true });
      const machines = await allMade(vm.name, making, { remove, signal: options.signal });
      return { machines, pause_ms: pause_ms ?? 0 };
    });
  }

  async #withMachine<T>(
    ref: string,
    verb: string,
    work: (vm: VmRecord, running: RunningMachine | undefined) => Promise<T>,
  ): Promise<T> {
    const { db, owner } = this.#deps;
    const { id } = getVm(db, ref);
    return await this.#lifecycle.inTurn(id, async () => {
      const vm = getVm(db, id);
      assertHere(vm, verb, owner);
      requireState(vm, verb, CAN_BE_SAVED);
      assertKept(vm, verb);
      return await work(vm, this.#lifecycle.running(id));
    });
  }

  #context() {
    return { deps: this.#deps, lifecycle: this.#lifecycle };
  }

  async #sourceOf(name: string, options: WorkOptions): Promise<CopySource> {
    const { snapshots } = this.#deps;
    const found = snapshots.find(name);
    snapshots.assertDisk(found);
    const { record } = found;
    const image = imageOf(this.#deps, record);
    if (!image) {
      throw new BangerError(
        "not_found",
        `Cannot use snapshot "${name}": its image ${record.image.name} is not here`,
        { hint: `Pull it with: banger image pull ${record.image.name}` },
      );
    }
    return {
      imageId: image.id,
      kernel: await this.#kernelOf(record, options),
      spec: record.spec,
      diskPath: found.files.disk,
      memory: this.#memoryOf(found, options),
      origin: { snapshot: name },
    };
  }

  /** Another one does for a disk, and the memory has its own. */
  async #kernelOf({ kernel }: SnapshotRecord, { onProgress }: WorkOptions): Promise<string> {
    const { kernels, config } = this.#deps;
    if (isImageKernel(kernel)) return kernel;
    if ((await kernels.list()).some(({ name }) => name === kernel)) return kernel;
    const other = kernels.defaultName() ?? config.values.default_kernel;
    onProgress?.(warningProgress(`Kernel "${kernel}" is not here, using ${other}`));
    return (await kernels.show(other)).name;
  }

  #memoryOf(found: StoredSnapshot, { onProgress }: WorkOptions): MemorySource | undefined {
    const { files, record, name } = found;
    if (!record.memory) return undefined;
    const title = `snapshot "${name}"`;
    if (this.#deps.snapshots.isMemoryWhole(found)) return memorySource(title, record, files);
    const text = `Cannot restore the memory of ${title}, booting from its disk: it was changed`;
    onProgress?.(warningProgress(text));
    return undefined;
  }
}

function forkSource(
  vm: VmRecord,
  { spec, memory, lowers, modules }: SnapshotDescription,
  files: SnapshotFiles,
): CopySource {
  const record = { spec, lowers, modules, memory };
  return {
    imageId: vm.imageId,
    kernel: vm.kernel,
    spec,
    diskPath: files.disk,
    memory: memorySource(`"${vm.name}"`, record, files),
    origin: { forkOf: vm.name },
  };
}

function memorySource(
  title: string,
  {
    spec,
    lowers,
    modules,
    memory,
  }: Pick<SnapshotDescription, "spec" | "lowers" | "modules" | "memory">,
  files: SnapshotFiles,
): MemorySource | undefined {
  return (
    memory && {
      title,
      memoryPath: files.memory,
      statePath: files.state,
      driver: memory.driver,
      snapshotKey: memory.snapshotKey,
      lowers,
      modules,
      network: spec.network,
    }
  );
}

/** By its id, or on another computer by what it is. */
function imageOf({ images }: VmDeps, { image }: SnapshotRecord): Image | undefined {
  const all = images.list();
  const same = all.find(({ id }) => id === image.id);
  return same ?? all.find(({ digest }) => digest !== undefined && digest === image.digest);
}

function checkedName(name: string): string {
  if (/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) return name;
  throw new BangerError("integrity", "Cannot import the snapshot: invalid name in the archive", {
    hint: "Give it one: banger vm snapshot import FILE NAME",
  });
}

/** One that is gone with its command is nothing to go back to. */
function assertKept({ name, spec }: VmRecord, verb: string): void {
  if (!spec.ephemeral) return;
  const message = `Cannot ${verb} machine "${name}": it was created for a single command`;
  throw new BangerError("invalid_state", message);
}

function toSnapshot({ name, record, size_bytes }: StoredSnapshot): Snapshot {
  const { machine, image, kernel, spec, memory, createdAt } = record;
  const { mode, cpus, memory_mib, disk_bytes, network } = spec;
  return {
    name,
    machine: machine.name,
    image: image.name,
    kernel,
    mode,
    cpus,
    memory_mib,
    disk_bytes,
    network,
    memory: memory !== undefined,
    driver: memory?.driver,
    createdAt,
    size_bytes,
  };
}
