/** Snapshots of machines, machines made from them, machines set back to them, and copies of machines that run. */
import { renameSync, rmSync } from "node:fs";
import type { Snapshot, SnapshotCreated, VmFork, VmForked } from "#api/snapshot.ts";
import type { Vm, VmCreate } from "#api/vm.ts";
import { onAbort, throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import { copySparse } from "#base/files/copy-file.ts";
import { type WorkOptions, warningProgress } from "#base/progress.ts";
import type { SnapshotDescription, SnapshotRecord } from "#snapshots/record.ts";
import type { SnapshotFiles, StoredSnapshot } from "#snapshots/snapshots.ts";
import { syncDisk } from "#vm/before-save.ts";
import type { Internal } from "#vm/create.ts";
import type { VmDeps } from "#vm/deps.ts";
import { isImageKernel } from "#vm/image-boot.ts";
import type { BootOptions } from "#vm/life/boot.ts";
import type { Lifecycle } from "#vm/life/lifecycle.ts";
import { assertHere } from "#vm/life/owner.ts";
import type { RunningMachine } from "#vm/life/running-machines.ts";
import { requireState } from "#vm/machine.ts";
import { makeName } from "#vm/names.ts";
import { findVm, getVm, toApi, type VmRecord } from "#vm/records.ts";
import { assertMemoryAlone } from "#vm/volumes/hold.ts";
import { SnapshotArchives } from "./archives.ts";
import { type CopySource, copyRequest, makeCopy } from "./copies.ts";
import { allMade, assertFreePorts, forkNames } from "./fork.ts";
import { imageOf, toSnapshot } from "./show.ts";
import type { MemorySource } from "./source.ts";
import { takeSnapshot } from "./take.ts";

/** One that is suspended has no process, and its memory goes with the disk as that is. */
const CAN_BE_SAVED = ["running", "paused", "stopped"] as const;

export class VmSnapshots {
  readonly archives: SnapshotArchives;
  readonly #deps: VmDeps;
  readonly #lifecycle: Lifecycle;

  constructor(deps: VmDeps, lifecycle: Lifecycle) {
    this.archives = new SnapshotArchives(deps);
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
      token,
      ...options
    }: WorkOptions &
      Pick<Internal, "token"> & { snapshot?: string | undefined; diskOnly?: boolean | undefined },
  ): Promise<SnapshotCreated> {
    const { snapshots } = this.#deps;
    const name = snapshot ?? makeName((made) => snapshots.has(made));
    snapshots.assertFree(name);
    return await this.#withMachine(ref, "snapshot", async (vm, running) => {
      if (running && !diskOnly) assertMemoryAlone(vm, { verb: "snapshot" });
      options.onProgress?.({ step: "snapshot", message: `Saving ${vm.name} as ${name}` });
      if (vm.state === "running" && running) await syncDisk(running.link, options.signal);
      let pause_ms: number | undefined;
      const made = await snapshots.create(name, async (files) => {
        const taken = await takeSnapshot(this.#deps, vm, { files, running, diskOnly, ...options });
        pause_ms = taken.pause_ms;
        return { ...taken.description, token, labels: vm.spec.labels };
      });
      return { snapshot: toSnapshot(made), pause_ms };
    });
  }

  remove(name: string): void {
    this.#deps.snapshots.remove(name);
  }

  /** A machine with the disk of a snapshot, and its memory where that can be. */
  async createMachine(
    request: VmCreate & Internal & { snapshot: string },
    options: BootOptions,
  ): Promise<Vm> {
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
    const wish = new AbortController();
    const { signal } = wish;
    using calledOff = onAbort(options.signal, () => wish.abort());
    const prepare = async (): Promise<void> => {
      const now = getVm(db, vm.id);
      assertHere(now, "restore", this.#deps.owner);
      requireState(now, "restore", CAN_BE_SAVED);
      assertKept(now, "restore");
      const { disk } = config.paths.vm(vm.id);
      const staging = stagingPath(disk);
      try {
        await copySparse(found.files.disk, staging, { signal });
        throwIfAborted(signal);
        // The old state is lost from here on, so the restore is finished even if the client disconnects.
        calledOff[Symbol.dispose]();
        const running = this.#lifecycle.running(vm.id);
        if (running) await this.#lifecycle.end(running);
        renameSync(staging, disk);
      } finally {
        rmSync(staging, { force: true });
      }
      const { cpus, memory_mib, disk_bytes } = found.record.spec;
      const { pending: _, started: __, ...spec } = getVm(db, vm.id).spec;
      const restored = { ...spec, cpus, memory_mib, disk_bytes, snapshot: name };
      this.#lifecycle.change(vm.id, { spec: restored });
    };
    if (memory || wasRunning) {
      await this.#lifecycle.start(vm.id, { ...options, signal, prepare, from: memory ?? "disk" });
    } else await this.#lifecycle.inTurn(vm.id, prepare);
    return toApi(getVm(db, vm.id));
  }

  /** Copies of a machine that runs, which goes on. */
  async fork(request: VmFork & Pick<Internal, "token">, options: BootOptions): Promise<VmForked> {
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
          assertMemoryAlone(found, { verb: "fork", readers: true });
          options.onProgress?.({ step: "snapshot", message: `Saving ${found.name}` });
          const saved = await takeSnapshot(this.#deps, found, { files, running, ...options });
          return { vm: found, ...saved };
        },
      );
      const source = forkSource(vm, description, files);
      const making = names.map((name) =>
        makeCopy(this.#context(), source, {
          ...options,
          request: { name, ports: request.ports, token: request.token },
        }),
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
        `Cannot use snapshot "${name}": its image ${record.image.name} does not exist`,
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
    onProgress?.(warningProgress(`Kernel "${kernel}" not found, using ${other}`));
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
  { image, spec, memory, lowers, modules }: SnapshotDescription,
  files: SnapshotFiles,
): CopySource {
  const record = { image, spec, lowers, modules, memory };
  return {
    imageId: vm.imageId,
    kernel: vm.kernel,
    spec,
    volumes: vm.spec.volumes,
    diskPath: files.disk,
    memory: memorySource(`"${vm.name}"`, record, files),
    secrets: vm.spec.secrets,
    sshAgent: vm.spec.sshAgent,
    origin: { forkOf: vm.name },
  };
}

function memorySource(
  title: string,
  {
    image,
    spec,
    lowers,
    modules,
    memory,
  }: Pick<SnapshotDescription, "image" | "spec" | "lowers" | "modules" | "memory">,
  files: SnapshotFiles,
): MemorySource | undefined {
  return (
    memory && {
      title,
      memoryPath: files.memory,
      statePath: files.state,
      driver: memory.driver,
      snapshotKey: memory.snapshotKey,
      rootfs: image.rootfs,
      lowers,
      modules,
      network: spec.network,
    }
  );
}

/** One that is gone with its command is nothing to go back to. */
function assertKept({ name, spec }: VmRecord, verb: string): void {
  if (!spec.ephemeral) return;
  const message = `Cannot ${verb} machine "${name}": it was created for a single command`;
  throw new BangerError("invalid_state", message);
}
