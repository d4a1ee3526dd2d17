/** The machine of one stage, started by the first step that needs it and synchronized with the stage's layers. */
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import { type BuiltLayer, LayerFile } from "#builds/layer-file.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";
import { exportTar } from "#images/export/tar.ts";
import { type BuildMachine, MOUNTS_FOLDER, type RunRequest, type RunStatus } from "./machines.ts";
import { changesTar, indexUpper, type UpperIndex } from "./upper.ts";

export class StageMachine implements AsyncDisposable {
  readonly #machine: BuildMachine;
  /** Paths of mount contents, by name. */
  readonly #mounts = new Map<string, string>();
  #index: UpperIndex = new Map();

  private constructor(machine: BuildMachine) {
    this.#machine = machine;
  }

  static async start(
    start: () => Promise<BuildMachine>,
    signal: AbortSignal | undefined,
  ): Promise<StageMachine> {
    const machine = await start();
    const started = new StageMachine(machine);
    try {
      // Ignores what the machine writes at its start.
      await started.#readIndex(signal);
      return started;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  async run(
    request: RunRequest,
    options: { onOutput: (bytes: Uint8Array) => void; signal?: AbortSignal | undefined },
  ): Promise<RunStatus> {
    return await this.#machine.run(request, options);
  }

  /** Extracts the content of a mount, a tar with "data" in it, unless `name` exists already. */
  async fill(
    name: string,
    tar: () => AsyncIterable<Uint8Array>,
    { inMemory = false, signal }: { inMemory?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<string> {
    const known = this.#mounts.get(name);
    if (known !== undefined) return known;
    const source = await this.#machine.fill(tar(), { name, inMemory, signal });
    this.#mounts.set(name, source);
    return source;
  }

  relay: BuildMachine["relay"] = (options, signal) => this.#machine.relay(options, signal);

  has(name: string): boolean {
    return this.#mounts.has(name);
  }

  async removeMount(name: string, signal?: AbortSignal): Promise<void> {
    const source = this.#mounts.get(name);
    if (source === undefined) return;
    this.#mounts.delete(name);
    await this.#machine.drop(source, signal);
  }

  /** Exports the current content of a mount as a tar in `folder`. */
  async exportMount(name: string, folder: string, signal?: AbortSignal): Promise<BuiltLayer> {
    return await this.#machine.whileFrozen(async (disk) => {
      using reader = openFrozenDisk(disk);
      using file = new LayerFile(join(folder, `${crypto.randomUUID()}.tar`));
      return await file.writeTar(exportTar(reader, { root: `${MOUNTS_FOLDER}/${name}`, signal }));
    }, signal);
  }

  /** The changes since the last call, as a layer in `folder`. */
  async changes(folder: string, signal: AbortSignal | undefined): Promise<BuiltLayer> {
    return await this.#machine.whileFrozen(async (disk) => {
      using reader = openFrozenDisk(disk);
      using file = new LayerFile(join(folder, `${crypto.randomUUID()}.tar`));
      const after: UpperIndex = new Map();
      const layer = await file.writeTar(changesTar(reader, { before: this.#index, after, signal }));
      this.#index = after;
      return layer;
    }, signal);
  }

  /** Extracts the layer of a step that ran without the machine. */
  async addLayer(layer: BuiltLayer, signal: AbortSignal | undefined): Promise<void> {
    await this.#machine.extract(readChunks(layer.path, { signal }), signal);
    await this.#readIndex(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine[Symbol.asyncDispose]();
  }

  async #readIndex(signal: AbortSignal | undefined): Promise<void> {
    this.#index = await this.#machine.whileFrozen(async (disk) => {
      using reader = openFrozenDisk(disk);
      return await indexUpper(reader, signal);
    }, signal);
  }
}

function openFrozenDisk(disk: string): Ext4Reader {
  const reader = openExt4(disk);
  if (!reader.info.needsRecovery) return reader;
  reader.close();
  throw new BangerError("guest", "Cannot freeze the build machine's disk");
}
