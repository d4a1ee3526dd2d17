/** The build cache: layers of earlier steps, by step key, and the content of cache mounts. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { type Digest, isDigest } from "#base/digest.ts";
import { STAGING_MARK, stagingPath } from "#base/files/atomic.ts";
import { KeyedQueue } from "#base/queue.ts";
import type { BuiltLayer } from "./layer-file.ts";

const LAYER = "layer.tar";
const STEP = "step.json";
/** Steps unused for this time are removed by gc. */
const KEPT_MS = 7 * 24 * 3_600_000;

const stepSchema = z.object({
  diffId: z.string().refine(isDigest),
  size_bytes: z.int().min(0),
  createdBy: z.string(),
});

export class BuildCache {
  /** Locks of cache mounts. */
  readonly locks = new KeyedQueue();
  readonly #folder: string;
  /** Keys and scratch directories of running builds. */
  readonly #held = new Map<string, number>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The layer of a step, held until `release`. Undefined for a missing or corrupt entry. */
  find(key: string): BuiltLayer | undefined {
    const folder = join(this.#folder, key);
    try {
      const step = stepSchema.parse(JSON.parse(readFileSync(join(folder, STEP), "utf8")));
      const path = join(folder, LAYER);
      const { diffId, size_bytes } = step;
      if (statSync(path).size !== size_bytes) return undefined;
      utimesSync(join(folder, STEP), new Date(), new Date());
      this.#hold(key);
      return { path, diffId: diffId as Digest, size_bytes };
    } catch {
      return undefined;
    }
  }

  /** Moves the layer at `layer.path`, a scratch file, into the cache, and returns it held as `hold`. */
  store(key: string, layer: BuiltLayer, createdBy: string): { layer: BuiltLayer; hold: string } {
    const folder = join(this.#folder, key);
    const staging = stagingPath(folder);
    mkdirSync(staging, { recursive: true, mode: 0o700 });
    const { diffId, size_bytes } = layer;
    renameSync(layer.path, join(staging, LAYER));
    writeFileSync(join(staging, STEP), JSON.stringify({ diffId, size_bytes, createdBy }));
    // Two builds that ran the same step concurrently share one layer.
    const isHeld = this.#held.has(key);
    if (!isHeld) {
      rmSync(folder, { recursive: true, force: true });
      renameSync(staging, folder);
    }
    const hold = isHeld ? staging : key;
    this.#hold(hold);
    return { layer: { path: join(isHeld ? staging : folder, LAYER), diffId, size_bytes }, hold };
  }

  /** A scratch directory for a build, which the caller removes. */
  scratch(): string {
    const folder = stagingPath(join(this.#folder, "build"));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#hold(folder);
    return folder;
  }

  release(keys: Iterable<string>): void {
    for (const key of keys) {
      const left = (this.#held.get(key) ?? 1) - 1;
      if (left > 0) this.#held.set(key, left);
      else this.#held.delete(key);
      if (left <= 0 && key.includes(STAGING_MARK)) rmSync(key, { recursive: true, force: true });
    }
  }

  /** What builds left behind after a crash. */
  leftovers(): string[] {
    const garbage = this.garbage({ all: false });
    return garbage.filter((path) => basename(path).startsWith(STAGING_MARK));
  }

  /** Directories that no build uses: leftovers and those unused for a week, or all with `all`. */
  garbage(options: { all: boolean }): string[] {
    if (!existsSync(this.#folder)) return [];
    return readdirSync(this.#folder).flatMap((name) => {
      const path = join(this.#folder, name);
      if (this.#held.has(name) || this.#held.has(path)) return [];
      const step = statSync(join(path, STEP), { throwIfNoEntry: false });
      const isOld = !step || Date.now() - step.mtimeMs > KEPT_MS;
      return options.all || isOld || name.startsWith(STAGING_MARK) ? [path] : [];
    });
  }

  #hold(key: string): void {
    this.#held.set(key, (this.#held.get(key) ?? 0) + 1);
  }
}
