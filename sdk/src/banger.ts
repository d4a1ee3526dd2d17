/** One daemon: its machines, images, kernels, snapshots and volumes. */
import { type Connection, makeConnection } from "./connection.ts";
import { createMachine, getMachine, listMachines, type Machine } from "./machine/machine.ts";
import type { VolumeInfo } from "./mounts.ts";
import { finish } from "./stream.ts";
import type {
  CallOptions,
  ConnectOptions,
  CreateOptions,
  DaemonInfo,
  ImageInfo,
  KernelInfo,
  MachineEvent,
  SnapshotInfo,
  WorkOptions,
} from "./types.ts";
import { bytesOf } from "./units.ts";

export class Banger {
  readonly #connection: Connection;
  readonly machines: Machines;
  readonly images: Images;
  readonly kernels: Kernels;
  readonly snapshots: Snapshots;
  readonly volumes: Volumes;

  /** Does not connect until the first call. */
  constructor(options: ConnectOptions = {}) {
    this.#connection = makeConnection(options);
    this.machines = new Machines(this.#connection);
    this.images = new Images(this.#connection);
    this.kernels = new Kernels(this.#connection);
    this.snapshots = new Snapshots(this.#connection);
    this.volumes = new Volumes(this.#connection);
  }

  async status({ signal }: CallOptions = {}): Promise<DaemonInfo> {
    return await this.#connection.client.system.status(undefined, { signal });
  }

  /** Streams events of machines until the loop ends. */
  async *events({ signal }: CallOptions = {}): AsyncGenerator<MachineEvent, void, undefined> {
    yield* await this.#connection.client.system.events(undefined, { signal });
  }
}

export class Machines {
  readonly #connection: Connection;

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async create(image: string, options: CreateOptions = {}): Promise<Machine> {
    return await createMachine(this.#connection, { image }, options);
  }

  async fromSnapshot(snapshot: string, options: CreateOptions = {}): Promise<Machine> {
    return await createMachine(this.#connection, { snapshot }, options);
  }

  async get(name: string, options: CallOptions = {}): Promise<Machine> {
    return await getMachine(this.#connection, name, options);
  }

  async list(options: CallOptions = {}): Promise<Machine[]> {
    return await listMachines(this.#connection, options);
  }
}

export class Images {
  readonly #api: Connection["client"]["image"];

  /** @internal */
  constructor({ client }: Connection) {
    this.#api = client.image;
  }

  async list({ signal }: CallOptions = {}): Promise<ImageInfo[]> {
    return await this.#api.list(undefined, { signal });
  }

  async get(name: string, { signal }: CallOptions = {}): Promise<ImageInfo> {
    return await this.#api.show({ name }, { signal });
  }

  /** Pulls an image. `reference`: as for `banger image pull`. */
  async pull(
    reference: string,
    options: WorkOptions & { name?: string | undefined; kernel?: string | undefined } = {},
  ): Promise<ImageInfo> {
    const { signal, onProgress, name, kernel } = options;
    return await finish(this.#api.pull({ reference, name, kernel }, { signal }), onProgress);
  }

  /** Builds an image from the text of a Dockerfile. `context`: directory on the daemon's host that COPY reads. */
  async build(
    name: string,
    options: WorkOptions & {
      dockerfile: string;
      context?: string | undefined;
      target?: string | undefined;
      args?: Record<string, string> | undefined;
    },
  ): Promise<ImageInfo> {
    const { signal, onProgress, ...rest } = options;
    return await finish(this.#api.build({ name, ...rest }, { signal }), onProgress);
  }

  async remove(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#api.remove({ name }, { signal });
  }
}

export class Kernels {
  readonly #api: Connection["client"]["kernel"];

  /** @internal */
  constructor({ client }: Connection) {
    this.#api = client.kernel;
  }

  async list({ signal }: CallOptions = {}): Promise<KernelInfo[]> {
    return await this.#api.list(undefined, { signal });
  }

  async pull(name: string, { signal, onProgress }: WorkOptions = {}): Promise<KernelInfo> {
    return await finish(this.#api.pull({ name }, { signal }), onProgress);
  }

  async remove(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#api.remove({ name }, { signal });
  }
}

export class Snapshots {
  readonly #api: Connection["client"]["snapshot"];

  /** @internal */
  constructor({ client }: Connection) {
    this.#api = client.snapshot;
  }

  async list({ signal }: CallOptions = {}): Promise<SnapshotInfo[]> {
    return await this.#api.list(undefined, { signal });
  }

  async get(name: string, { signal }: CallOptions = {}): Promise<SnapshotInfo> {
    return await this.#api.show({ name }, { signal });
  }

  async remove(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#api.remove({ name }, { signal });
  }
}

/** Disks that outlive their machines. */
export class Volumes {
  readonly #api: Connection["client"]["volume"];

  /** @internal */
  constructor({ client }: Connection) {
    this.#api = client.volume;
  }

  async list({ signal }: CallOptions = {}): Promise<VolumeInfo[]> {
    return await this.#api.list(undefined, { signal });
  }

  async get(name: string, { signal }: CallOptions = {}): Promise<VolumeInfo> {
    return await this.#api.show({ name }, { signal });
  }

  /** `size`: its limit, which takes no space. Default: vm.disk of the configuration. */
  async create(
    name: string,
    { size, signal }: CallOptions & { size?: number | string | undefined } = {},
  ): Promise<VolumeInfo> {
    return await this.#api.create({ name, size_bytes: bytesOf(size) }, { signal });
  }

  /** Grows a volume and its file system: at once, or when it is next mounted for writing. */
  async resize(
    name: string,
    size: number | string,
    { signal }: CallOptions = {},
  ): Promise<VolumeInfo> {
    return await this.#api.resize({ name, size_bytes: bytesOf(size) ?? 0 }, { signal });
  }

  /** Removes a volume that no machine mounts, and its data. */
  async remove(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#api.remove({ name }, { signal });
  }

  /** Removes all volumes that no machine mounts, and gives their names. */
  async prune({ signal }: CallOptions = {}): Promise<string[]> {
    return await this.#api.prune(undefined, { signal });
  }
}
