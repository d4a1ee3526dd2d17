/**
 * Builds images from a Dockerfile, or from an image and a script. A stage is a list of layers over a base image; RUN
 * commands run in the stage's machine, and their changes are read from its disk. A failed build leaves nothing but
 * cached steps.
 */
import { rmSync } from "node:fs";
import type { ImageBuild } from "#api/image.ts";
import { type Digest, sha256 } from "#base/digest.ts";
import { newId } from "#base/id.ts";
import type { WorkOptions } from "#base/progress.ts";
import { warningProgress } from "#base/progress.ts";
import { imageSource, type Source } from "#builds/copy/source.ts";
import { StageView } from "#builds/copy/view.ts";
import { type Dockerfile, parseTrigger, type Stage } from "#builds/dockerfile/dockerfile.ts";
import type { Instruction } from "#builds/dockerfile/instruction.ts";
import { atLine, wrapped } from "#builds/dockerfile/line-error.ts";
import type { BuildMachines } from "#builds/run/machines.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";
import { withoutEmpty } from "#images/image-config.ts";
import {
  assertFilesPresent,
  filesOf,
  type ImageRecord,
  INTERMEDIATE_REFERENCE,
  listImages,
} from "#images/records.ts";
import type { ImageStore } from "#images/store.ts";
import { resolveLocation } from "#oci/location.ts";
import { formatPlatform, hostPlatform, parsePlatform } from "#oci/platform.ts";
import type { BuildCache } from "./cache.ts";
import { type BuildArgs, StageConfig } from "./config.ts";
import { argsOf, contextOf, fileOf, secretsOf } from "./inputs.ts";
import { copyBaseFiles, makeImage } from "./result.ts";
import { StageRun } from "./stage.ts";
import { StageGraph } from "./stage-graph.ts";

const SCRATCH = "scratch";

export interface BuildDeps {
  store: ImageStore;
  cache: BuildCache;
  machines: BuildMachines;
  /** "HOST[:PORT]" of servers in private networks that ADD may fetch from. */
  privateHosts: readonly string[];
  /** The image of a reference or name, pulled if it is missing or if requested. */
  resolve(reference: string, options: WorkOptions & { pulls: boolean }): Promise<ImageRecord>;
}

/** A finished stage. */
interface Finished {
  run: StageRun;
  base: ImageRecord | undefined;
}

export async function buildImage(
  deps: BuildDeps,
  request: ImageBuild,
  work: WorkOptions,
): Promise<ImageRecord> {
  await using build = new Build(deps, request, work);
  return await build.run();
}

class Build implements AsyncDisposable {
  readonly #deps: BuildDeps;
  readonly #request: ImageBuild;
  readonly #work: WorkOptions;
  readonly #file: Dockerfile;
  readonly #args: BuildArgs;
  readonly #graph: StageGraph;
  readonly #scratch: string;
  readonly #held: string[] = [];
  readonly #stages = new Map<Stage, Finished>();
  readonly #readers = new Map<string, Ext4Reader>();
  /** By the key of the stage's files. */
  readonly #intermediates = new Map<string, ImageRecord>();
  readonly #holds: Disposable[] = [];
  #context: Source | undefined;
  #done = 0;
  #total = 0;

  constructor(deps: BuildDeps, request: ImageBuild, work: WorkOptions) {
    this.#deps = deps;
    this.#request = request;
    this.#work = work;
    this.#file = fileOf(request);
    this.#args = argsOf(request, this.#file);
    this.#graph = new StageGraph(this.#file, this.#args);
    this.#scratch = deps.cache.scratch();
    this.#held.push(this.#scratch);
  }

  async run(): Promise<ImageRecord> {
    const target = this.#graph.target(this.#request.target);
    const needed = this.#graph.needed(target);
    this.#total = needed.reduce((sum, each) => sum + each.instructions.length + 1, 0);
    // Stages that are copied from are built first, so that one machine runs at a time.
    for (const stage of needed) await this.#stage(stage);
    const finished = await this.#stage(target);
    const unused = Object.keys(this.#args.given).filter((name) => !this.#args.used.has(name));
    if (unused.length > 0) {
      const text = `unused build arguments: ${unused.join(", ")}`;
      this.#work.onProgress?.(warningProgress(text));
    }
    return await this.#image(finished);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { run } of this.#stages.values()) await run[Symbol.asyncDispose]();
    for (const reader of this.#readers.values()) reader.close();
    for (const hold of this.#holds) hold[Symbol.dispose]();
    for (const { id } of this.#intermediates.values()) this.#deps.store.remove(id);
    rmSync(this.#scratch, { recursive: true, force: true });
    this.#deps.cache.release(this.#held);
  }

  /** Builds a stage, unless it is finished. */
  async #stage(stage: Stage): Promise<Finished> {
    const known = this.#stages.get(stage);
    if (known) return known;
    const name = this.#graph.baseName(stage);
    const label = (): string => `[${++this.#done}/${this.#total}]`;
    const below = this.#graph.below(stage, name);
    const from = below ? await this.#stage(below) : undefined;
    await from?.run[Symbol.asyncDispose]();
    const title = `${label()} FROM ${name}`;
    this.#work.onProgress?.({ step: title, message: title });
    const base = from ? from.base : await this.#base(stage, name);
    const run = this.#begin(stage, { from, base });
    const finished = { run, base };
    this.#stages.set(stage, finished);
    const onBuild = from ? from.run.config.config.onBuild : base?.config.onBuild;
    const triggers = (onBuild ?? []).map((text) => parseTrigger(text, stage));
    this.#total += triggers.length;
    for (const instruction of [...triggers, ...stage.instructions]) {
      await run.step(instruction, label());
    }
    await run[Symbol.asyncDispose]();
    return finished;
  }

  #begin(
    stage: Stage,
    { from, base }: { from: Finished | undefined; base: ImageRecord | undefined },
  ) {
    const config = from?.run.config.config ?? base?.config ?? { workdir: "/" };
    const { escapeChar } = this.#file;
    const options = { escapeChar, build: this.#args, variables: from?.run.config.variables };
    const view = new StageView(base && this.#reader(base), from?.run.view);
    const start = {
      name: stage.name ?? String(this.#file.stages.indexOf(stage)),
      key: from?.run.key ?? sha256(`${base?.digest ?? SCRATCH}`),
      config: new StageConfig(config, options),
      view,
      layers: from?.run.layers ?? [],
      history: from?.run.history ?? [],
    };
    return new StageRun(start, {
      ...this.#work,
      cache: this.#deps.cache,
      scratch: this.#scratch,
      usesCache: !this.#request.noCache,
      network: this.#request.network,
      privateHosts: this.#deps.privateHosts,
      held: this.#held,
      startMachine: (run, work) => this.#startMachine({ run, base }, work),
      sourceOf: (instruction, from) =>
        this.#source(stage, { instruction, name: from ?? instruction.flags.get("from") }),
      secrets: secretsOf(this.#request),
      sshAgents: new Map(Object.entries(this.#request.ssh ?? {})),
    });
  }

  async #startMachine(finished: Finished, work: WorkOptions) {
    const { network, cpus, memory_mib, disk_bytes, kernel } = this.#request;
    const image = await this.#materialized(finished);
    const name = `build-${newId()}`;
    const sizes = { network, cpus, memory_mib, disk_bytes };
    return await this.#deps.machines.start({ imageId: image.id, name, kernel, ...sizes }, work);
  }

  async #source(
    stage: Stage,
    { instruction, name }: { instruction: Instruction; name: string | undefined },
  ): Promise<Source> {
    if (name === undefined) {
      this.#context ??= contextOf(this.#request);
      return this.#context;
    }
    const earlier = this.#graph.named(stage, { instruction, name });
    const image = earlier
      ? await this.#materialized(await this.#stage(earlier))
      : await this.#find(name);
    return imageSource(this.#reader(image), earlier ? `Stage "${name}"` : `Image "${name}"`);
  }

  async #base(stage: Stage, name: string): Promise<ImageRecord | undefined> {
    if (name === SCRATCH) return undefined;
    this.#assertPlatform(stage);
    return await this.#find(name);
  }

  #assertPlatform(stage: Stage): void {
    if (stage.platform === undefined) return;
    const text = this.#graph.word(stage, stage.platform);
    if (text === "") throw atLine(stage, `--platform=${stage.platform} is empty`);
    const own = formatPlatform(hostPlatform());
    let platform: string;
    try {
      platform = text === "linux" ? own : formatPlatform(parsePlatform(text));
    } catch (error) {
      throw wrapped(stage, error);
    }
    if (platform === own) return;
    throw atLine(stage, `RUN steps for ${platform} cannot run on ${own}`, {
      code: "unsupported",
    });
  }

  async #find(name: string): Promise<ImageRecord> {
    const pulls = this.#request.pull ?? false;
    // Dockerfile authors do not know the daemon's working directory.
    const reference = resolveLocation(name, this.#request.context);
    const image = await this.#deps.resolve(reference, { ...this.#work, pulls });
    this.#holds.push(this.#deps.store.hold(image.id));
    return image;
  }

  #reader(image: ImageRecord): Ext4Reader {
    const { rootfs } = filesOf(image, this.#deps.store.paths);
    const reader = this.#readers.get(rootfs) ?? openExt4(rootfs);
    this.#readers.set(rootfs, reader);
    return reader;
  }

  /** The image of a stage's files: the base itself if the stage has changed nothing. */
  async #materialized({ run, base }: Finished): Promise<ImageRecord> {
    if (base && run.layers.length === 0) return base;
    const key = `${run.key} ${run.layers.at(-1)?.diffId}`;
    const known = this.#intermediates.get(key);
    if (known) return known;
    const { store } = this.#deps;
    const image = await store.create(`build-${newId()}`, (folder) =>
      this.#make({ run, base }, { folder, reference: INTERMEDIATE_REFERENCE, seed: sha256(key) }),
    );
    this.#holds.push(store.hold(image.id));
    this.#intermediates.set(key, image);
    return image;
  }

  async #image(finished: Finished): Promise<ImageRecord> {
    const { run, base } = finished;
    const { store } = this.#deps;
    const { name } = this.#request;
    const config = withoutEmpty(run.config.config);
    const diffIds = run.layers.map(({ diffId }) => diffId);
    const seed = sha256(JSON.stringify([base?.digest ?? SCRATCH, diffIds, config]));
    this.#work.onProgress?.({ step: "image", message: `Creating image ${name}` });
    const reference = `build:${name}`;
    const kernel = this.#request.kernel ?? base?.kernel;
    return await store.inTurn(
      name,
      async () => {
        const same = sameImage(store, { name, reference, digest: seed, kernel });
        if (same && !this.#request.noCache) return same;
        return await store.create(name, async (folder) => {
          const made = await this.#make(finished, { folder, reference, seed });
          return { ...made, config, files: copyBaseFiles(made.files, folder) };
        });
      },
      this.#work.signal,
    );
  }

  #make(
    { run, base }: Finished,
    options: { folder: string; reference: string; seed: Digest },
  ): ReturnType<typeof makeImage> {
    const { layers, history } = run;
    const { kernel } = this.#request;
    const { store } = this.#deps;
    return makeImage(store, { base, layers, history }, { ...options, ...this.#work, kernel });
  }
}

/** An image that a build would only make again. A new one would need new templates. */
function sameImage(
  store: ImageStore,
  wanted: Pick<ImageRecord, "name" | "reference" | "digest" | "kernel">,
): ImageRecord | undefined {
  const { name, reference, digest, kernel } = wanted;
  const image = listImages(store.db).find((each) => each.name === name);
  if (image?.reference !== reference || image.digest !== digest || image.kernel !== kernel) {
    return undefined;
  }
  try {
    assertFilesPresent(image, store.paths);
    return image;
  } catch {
    return undefined;
  }
}
