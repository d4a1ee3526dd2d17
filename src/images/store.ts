/**
 * The rows and directories of images. A directory is complete and synced before its row is inserted, and removed
 * after its row, so a crash leaves at most an orphaned directory. Checking a row and changing it is always
 * synchronous.
 */
import type { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cancelled, onAbort, throwIfAborted } from "#base/abort.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { STAGING_MARK, stagingPath, syncFolder, syncTree } from "#base/files/atomic.ts";
import { newId } from "#base/id.ts";
import { KeyedQueue } from "#base/queue.ts";
import type { Paths } from "#config/paths.ts";
import { layerPath, layersOf } from "#images/provisioned/records.ts";
import { BlobGuard } from "./blob-guard.ts";
import {
  deleteImage,
  filesOf,
  findImage,
  getImage,
  type ImageName,
  type ImageRecord,
  imageNames,
  insertImage,
  listImages,
  machinesOf,
  type NewImage,
  renameImage,
  unreadableImages,
} from "./records.ts";

/** Maximum length of a name, so that "NAME-ID" is valid as well. */
const NAME_KEPT_CHARS = 114;

/** The build cache, as far as garbage collection needs it. Both return paths. */
export interface StepCache {
  /** Left behind by a crash. */
  leftovers(): string[];
  /** Not used by a build; with `all`, recently used ones as well. */
  garbage(options: { all: boolean }): string[];
}

export type MadeImage = Omit<NewImage, "id" | "name" | "createdAt">;

/** What stands on an image without being a machine. */
export interface ImageSnapshot {
  name: string;
  /** Id of the provisioned layer that it stands on as well. */
  layer: string | undefined;
}

interface StoreOptions {
  firstBoot: string;
  steps: StepCache;
  /** Default: none. */
  snapshotsOf?: (imageId: string) => ImageSnapshot[];
}

export class ImageStore {
  readonly db: Database;
  readonly paths: Paths;
  /** Digest of the first-boot script, which selects the provisioned layers for new machines. */
  readonly firstBoot: string;
  readonly snapshotsOf: (imageId: string) => ImageSnapshot[];
  readonly blobs = new BlobGuard();
  readonly steps: StepCache;
  readonly #operations = new KeyedQueue();
  /** Directories and files being created. */
  readonly #active = new Set<string>();
  /** By image id: number of machines being created that have no row yet. */
  readonly #holds = new Map<string, number>();

  constructor(
    db: Database,
    paths: Paths,
    { firstBoot, steps, snapshotsOf = () => [] }: StoreOptions,
  ) {
    this.db = db;
    this.paths = paths;
    this.steps = steps;
    this.firstBoot = firstBoot;
    this.snapshotsOf = snapshotsOf;
  }

  /** Serializes operations on one image name. Leaves the queue when `signal` fires. */
  async inTurn<T>(
    name: string,
    work: () => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    throwIfAborted(signal);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let isRunning = false;
    using _ = onAbort(signal, () => {
      if (!isRunning) reject(cancelled());
    });
    this.#operations
      .run(name, async () => {
        throwIfAborted(signal);
        isRunning = true;
        return await work();
      })
      .then(resolve, reject);
    return await promise;
  }

  /**
   * Creates the image `name` from the files that `fill` writes to a new directory. It replaces an older image of that
   * name; one in use by machines is renamed to "NAME-ID". Leaves nothing behind if `fill` fails.
   */
  async create(name: string, fill: (folder: string) => Promise<MadeImage>): Promise<ImageRecord> {
    const id = newId();
    const target = this.paths.image(id).folder;
    const staging = stagingPath(target);
    this.#active.add(staging);
    try {
      mkdirSync(staging, { recursive: true, mode: 0o700 });
      const made = await fill(staging);
      // A record must not survive a power cut without its files.
      await syncTree(staging);
      renameSync(staging, target);
      syncFolder(this.paths.images);
      this.#adopt({ ...made, id, name, createdAt: new Date().toISOString() });
      return getImage(this.db, id);
    } catch (error) {
      rmSync(staging, { recursive: true, force: true });
      rmSync(target, { recursive: true, force: true });
      throw toBangerError(error);
    } finally {
      this.#active.delete(staging);
    }
  }

  /** A temporary path in `folder`, which gc ignores until `use` has ended and which is removed then. */
  async withScratch<T>(
    folder: string,
    name: string,
    use: (path: string) => Promise<T>,
  ): Promise<T> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = stagingPath(join(folder, name));
    this.#active.add(path);
    try {
      return await use(path);
    } catch (error) {
      throw toBangerError(error);
    } finally {
      rmSync(path, { recursive: true, force: true });
      this.#active.delete(path);
    }
  }

  /**
   * `invalid_state` while a machine uses it. The files of an unmanaged image are kept. Works for unreadable records
   * as well.
   */
  remove(id: string): void {
    const image = imageNames(this.db).find((each) => each.id === id) ?? getImage(this.db, id);
    const machines = machinesOf(this.db, image.id);
    if (machines.length > 0) {
      throw new BangerError(
        "invalid_state",
        `Cannot remove image "${image.name}": in use by ${machines.join(", ")}`,
        { hint: `Remove the machines first: banger vm rm ${machines.join(" ")}` },
      );
    }
    const snapshots = this.snapshotsOf(image.id).map(({ name }) => name);
    if (snapshots.length > 0) {
      throw new BangerError(
        "invalid_state",
        `Cannot remove image "${image.name}": in use by the snapshots ${snapshots.join(", ")}`,
        { hint: `Remove the snapshots first: banger vm snapshot rm ${snapshots.join(" ")}` },
      );
    }
    if (this.#holds.has(image.id)) {
      throw new BangerError(
        "conflict",
        `Cannot remove image "${image.name}": a machine is being created from it`,
      );
    }
    deleteImage(this.db, image.id);
    this.#removeFolder(image.id);
  }

  /** Prevents removal of an image until disposed of, for a machine that has no row yet. */
  hold(id: string): Disposable {
    this.#holds.set(id, (this.#holds.get(id) ?? 0) + 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (this.#holds.get(id) ?? 1) - 1;
        if (left === 0) this.#holds.delete(id);
        else this.#holds.set(id, left);
      },
    };
  }

  isUsed(id: string): boolean {
    if (this.#holds.has(id) || machinesOf(this.db, id).length > 0) return true;
    return this.snapshotsOf(id).length > 0;
  }

  isActive(path: string): boolean {
    return this.#active.has(path);
  }

  /** Directories and files that no row refers to and that are not being created. */
  orphans(): string[] {
    const root = this.paths.images;
    if (!existsSync(root)) return [];
    const known = new Map(listImages(this.db).map((image) => [image.id, image]));
    const unreadable = new Set(unreadableImages(this.db).map(({ id }) => id));
    return readdirSync(root).flatMap((entry) => {
      const path = join(root, entry);
      if (this.#active.has(path) || unreadable.has(entry)) return [];
      const image = entry.startsWith(STAGING_MARK) ? undefined : known.get(entry);
      return image ? this.#orphansOf(image) : [path];
    });
  }

  #orphansOf(image: ImageRecord): string[] {
    const { folder } = this.paths.image(image.id);
    const layers = layersOf(this.db, image.id).map((layer) => layerPath(this.paths, layer));
    const own = new Set([...Object.values(filesOf(image, this.paths)), ...layers]);
    return readdirSync(folder)
      .map((entry) => join(folder, entry))
      .filter((path) => !own.has(path) && !this.#active.has(path));
  }

  #adopt(image: NewImage): void {
    const older = imageNames(this.db).find(({ name }) => name === image.name);
    const isUsed = older !== undefined && this.isUsed(older.id);
    this.db
      .transaction(() => {
        if (older && isUsed) renameImage(this.db, { id: older.id, name: replacedName(older) });
        if (older && !isUsed) deleteImage(this.db, older.id);
        insertImage(this.db, image);
      })
      .immediate();
    if (older && !isUsed) this.#removeFolder(older.id);
  }

  #removeFolder(id: string): void {
    rmSync(this.paths.image(id).folder, { recursive: true, force: true });
  }
}

function replacedName({ name, id }: ImageName): string {
  return `${name.slice(0, NAME_KEPT_CHARS)}-${id}`;
}

/** Whether a newer image has replaced this one. */
export function isReplacedName({ name, id }: ImageName): boolean {
  return name.endsWith(`-${id}`);
}

/** `already_exists` when an image has the name. */
export function assertFree(store: ImageStore, name: string): void {
  if (findImage(store.db, name)?.name !== name) return;
  throw new BangerError(
    "already_exists",
    `Cannot create image "${name}": the name is already in use`,
    {
      hint: `Use a different name, or remove it first: banger image rm ${name}`,
    },
  );
}
