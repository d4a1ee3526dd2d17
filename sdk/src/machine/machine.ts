/** One machine. */
import { BangerError } from "#base/error.ts";
import { type Connection, makeConnection } from "#sdk/connection.ts";
import { finish, type Work } from "#sdk/stream.ts";
import type {
  CallOptions,
  ConnectOptions,
  CreateOptions,
  ExecOptions,
  ExecResult,
  MachineInfo,
  MachineStats,
  ProcessInfo,
  SnapshotInfo,
  SpawnOptions,
  WorkOptions,
} from "#sdk/types.ts";
import { bytesOf, mebibytesOf, millisecondsOf } from "#sdk/units.ts";
import { Process, runCommand } from "./command.ts";
import { Files } from "./files.ts";
import { Ports } from "./ports.ts";
import { Sessions } from "./sessions.ts";

const SHELL = "/bin/sh";

export class Machine implements AsyncDisposable {
  readonly #connection: Connection;
  #info: MachineInfo;
  readonly files: Files;
  readonly ports: Ports;
  readonly sessions: Sessions;

  /** @internal */
  constructor(connection: Connection, info: MachineInfo) {
    this.#connection = connection;
    this.#info = info;
    const target = { connection, vm: info.id };
    this.files = new Files(target);
    this.ports = new Ports(target);
    this.sessions = new Sessions(target);
  }

  /**
   * Creates a machine from an image, which is pulled if missing, and starts it. By default it runs no init system and
   * no command of its own.
   */
  static async create(
    image: string,
    options: CreateOptions & ConnectOptions = {},
  ): Promise<Machine> {
    return await createMachine(connectionOf(options), { image }, options);
  }

  /** Creates a machine from a snapshot. */
  static async fromSnapshot(
    snapshot: string,
    options: CreateOptions & ConnectOptions = {},
  ): Promise<Machine> {
    return await createMachine(connectionOf(options), { snapshot }, options);
  }

  /** Returns an existing machine by its name or ID. */
  static async get(name: string, options: CallOptions & ConnectOptions = {}): Promise<Machine> {
    return await getMachine(connectionOf(options), name, options);
  }

  static async list(options: CallOptions & ConnectOptions = {}): Promise<Machine[]> {
    return await listMachines(connectionOf(options), options);
  }

  get id(): string {
    return this.#info.id;
  }

  get name(): string {
    return this.#info.name;
  }

  /** The machine's state as of the last call that returned it. */
  get info(): MachineInfo {
    return this.#info;
  }

  /** Reads the current state from the daemon. */
  async refresh({ signal }: CallOptions = {}): Promise<MachineInfo> {
    return this.#keep(await this.#vm.show(this.#ref, { signal }));
  }

  /** Runs a command without a shell until it exits. */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return await runCommand(this.#target, argv, options);
  }

  /** Runs a script with the machine's /bin/sh. */
  async shell(script: string, options: ExecOptions = {}): Promise<ExecResult> {
    return await runCommand(this.#target, [SHELL, "-c", script], options);
  }

  /** Starts an interactive command, with an optional terminal. */
  async spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<Process> {
    return await Process.start(this.#target, argv, options);
  }

  async start(options: WorkOptions = {}): Promise<void> {
    await this.#work(this.#vm.start(this.#ref, options), options);
  }

  /** Shuts it down; powers it off after the grace period. */
  async stop(options: CallOptions & { grace?: number | string | undefined } = {}): Promise<void> {
    const grace_ms = millisecondsOf(options.grace);
    this.#keep(await this.#vm.stop({ ...this.#ref, grace_ms }, { signal: options.signal }));
  }

  async restart(options: WorkOptions = {}): Promise<void> {
    await this.#work(this.#vm.restart(this.#ref, options), options);
  }

  async pause({ signal }: CallOptions = {}): Promise<void> {
    this.#keep(await this.#vm.pause(this.#ref, { signal }));
  }

  async resume(options: WorkOptions = {}): Promise<void> {
    await this.#work(this.#vm.resume(this.#ref, options), options);
  }

  /** Saves its memory to disk and ends its VMM; the next use resumes it. */
  async suspend(options: WorkOptions = {}): Promise<void> {
    await this.#work(this.#vm.suspend(this.#ref, options), options);
  }

  /** Creates running copies, each with its own identity. */
  async fork(
    count = 1,
    options: WorkOptions & {
      /** Pattern of the names, where "{}" is replaced by the number. */ pattern?:
        | string
        | undefined;
    } = {},
  ): Promise<Machine[]> {
    const { signal, onProgress, pattern } = options;
    const work = this.#vm.fork({ ...this.#ref, count, pattern }, { signal });
    const { machines } = await finish(work, onProgress);
    return machines.map((info: MachineInfo) => new Machine(this.#connection, info));
  }

  /** Takes a snapshot. `diskOnly`: without the memory. */
  async snapshot(
    name?: string,
    options: WorkOptions & { diskOnly?: boolean | undefined } = {},
  ): Promise<SnapshotInfo> {
    const { signal, onProgress, diskOnly } = options;
    const input = { ...this.#ref, snapshot: name, diskOnly };
    const work = this.#connection.client.snapshot.create(input, { signal });
    return (await finish(work, onProgress)).snapshot;
  }

  /** Restores one of its snapshots. */
  async restore(snapshot: string, options: WorkOptions = {}): Promise<void> {
    await this.#work(this.#vm.restore({ ...this.#ref, snapshot }, options), options);
  }

  /** Mounts a volume from the next start on, and creates it if needed. The machine must be stopped. */
  async attachVolume(
    volume: string,
    path: string,
    { readOnly, signal }: CallOptions & { readOnly?: boolean | undefined } = {},
  ): Promise<void> {
    const input = { ...this.#ref, volume, path, readOnly };
    this.#keep(await this.#vm.attachVolume(input, { signal }));
  }

  /** Removes the mount of a volume, which stays. The machine must be stopped. */
  async detachVolume(volume: string, { signal }: CallOptions = {}): Promise<void> {
    this.#keep(await this.#vm.detachVolume({ ...this.#ref, volume }, { signal }));
  }

  async stats({ signal }: CallOptions = {}): Promise<MachineStats> {
    return await this.#connection.client.inside.stats(this.#ref, { signal });
  }

  async processes({ signal }: CallOptions = {}): Promise<ProcessInfo[]> {
    return await this.#connection.client.inside.processes(this.#ref, { signal });
  }

  /** Streams the output of its command, or its console if it has none. */
  async *logs(
    options: CallOptions & {
      follow?: boolean | undefined;
      /** The last lines only. */ tail?: number | undefined;
      /** The console, even if the machine has a command. */ console?: boolean | undefined;
    } = {},
  ): AsyncGenerator<string, void, undefined> {
    const { signal, ...rest } = options;
    for await (const { text } of await this.#vm.logs({ ...this.#ref, ...rest }, { signal })) {
      yield text;
    }
  }

  /** Removes it and its disk. `force` (default: true): even if it is running. */
  async remove(options: CallOptions & { force?: boolean | undefined } = {}): Promise<void> {
    const { signal, force = true } = options;
    await this.#vm.remove({ ...this.#ref, force }, { signal });
  }

  /** For `await using`: removes it if it still exists. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove();
    } catch (error) {
      if (!(error instanceof BangerError) || error.code !== "not_found") throw error;
    }
  }

  async #work(work: Work<MachineInfo>, { onProgress }: WorkOptions): Promise<void> {
    this.#keep(await finish(work, onProgress));
  }

  #keep(info: MachineInfo): MachineInfo {
    this.#info = info;
    return info;
  }

  get #vm() {
    return this.#connection.client.vm;
  }

  get #target() {
    return { connection: this.#connection, vm: this.id };
  }

  get #ref() {
    return { name: this.id };
  }
}

/** @internal */
export async function createMachine(
  connection: Connection,
  source: { image: string } | { snapshot: string },
  options: CreateOptions,
): Promise<Machine> {
  const { signal, onProgress, memory, disk, net, ports, timeout, idleSuspend, ...rest } = options;
  const { name, kernel, cpus, env, labels, hostname, start, volumes, shares } = rest;
  const work = connection.client.vm.create(
    {
      ...source,
      ...("image" in source ? bootOf(rest) : {}),
      ...{ name, kernel, cpus, env, labels, hostname, start, volumes, shares },
      guest: guestOf(rest),
      memory_mib: mebibytesOf(memory),
      disk_bytes: bytesOf(disk),
      limits: limitsOf(rest),
      network: net,
      ports: ports?.map(({ hostPort = 0, protocol = "tcp", ...port }) => ({
        ...port,
        hostPort,
        protocol,
      })),
      ttl_ms: millisecondsOf(timeout),
      idleSuspend_ms: millisecondsOf(idleSuspend),
    },
    { signal },
  );
  return new Machine(connection, await finish(work, onProgress));
}

function limitsOf({ limits }: CreateOptions) {
  return (
    limits && {
      disk_bytes_per_s: bytesOf(limits.diskBandwidth),
      disk_operations_per_s: limits.diskIops,
      net_in_bytes_per_s: bytesOf(limits.netIn),
      net_out_bytes_per_s: bytesOf(limits.netOut),
    }
  );
}

/** Undefined if nothing is set. */
function guestOf(options: CreateOptions) {
  const { tmpfs, shmSize, swap, readOnly, sysctls, ulimits } = options;
  const guest = {
    tmpfs: tmpfs?.map(({ size, ...each }) => ({ ...each, size_bytes: bytesOf(size) })),
    shm_bytes: bytesOf(shmSize),
    swap_bytes: bytesOf(swap),
    ...{ readOnly, sysctls, ulimits },
  };
  return Object.values(guest).some((value) => value !== undefined) ? guest : undefined;
}

function bootOf({ mode = "direct", command }: CreateOptions) {
  return { mode, command: command ?? (mode === "direct" ? [] : undefined) };
}

/** @internal */
export async function getMachine(
  connection: Connection,
  name: string,
  { signal }: CallOptions,
): Promise<Machine> {
  return new Machine(connection, await connection.client.vm.show({ name }, { signal }));
}

/** @internal */
export async function listMachines(
  connection: Connection,
  { signal }: CallOptions,
): Promise<Machine[]> {
  const all = await connection.client.vm.list(undefined, { signal });
  return all.map((info) => new Machine(connection, info));
}

function connectionOf(options: ConnectOptions): Connection {
  return makeConnection(options);
}
