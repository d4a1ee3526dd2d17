/**
 * Rows and folders of images, kept in step. A folder is in place and on the disk before its row and
 * goes after it, so a crash leaves at most a folder that nothing names, which `orphans` finds. Everything
 * that decides about a row and changes it does so without waiting in between.
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

/** Of a name, so that "NAME-ID" is one as well. */
const NAME_KEPT_CHARS = 114;

/** Cached steps of builds, as far as garbage collection needs them. Both give paths. */
export interface StepCache {
  /** Left behind by a crash. */
  leftovers(): string[];
  /** Used by no build; with `all` also what was used lately. */
  garbage(options: { all: boolean }): string[];
}

export type MadeImage = Omit<NewImage, "id" | "name" | "createdAt">;

export class ImageStore {
  readonly db: Database;
  readonly paths: Paths;
  /** Digest of what installs on the first boot of a machine: which provisioned layers are for new ones. */
  readonly firstBoot: string;
  readonly blobs = new BlobGuard();
  readonly steps: StepCache;
  readonly #operations = new KeyedQueue();
  /** Folders and files that are being made. */
  readonly #active = new Set<string>();
  /** By image id: how many machines are being made of it that have no row yet. */
  readonly #holds = new Map<string, number>();

  constructor(
    db: Database,
    paths: Paths,
    { firstBoot, steps }: { firstBoot: string; steps: StepCache },
  ) {
    this.db = db;
    this.paths = paths;
    this.steps = steps;
    this.firstBoot = firstBoot;
  }

  /** What changes the image of one name happens one after another. Leaves the queue when `signal` fires. */
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
   * Enters what `fill` makes in a new folder under `name`. An older image of that name goes; one
   * that machines stand on stays with them, as "NAME-ID". Nothing is left when `fill` fails.
   */
  async create(name: string, fill: (folder: string) => Promise<MadeImage>): Promise<ImageRecord> {
    const id = newId();
    const target = this.paths.image(id).folder;
    const staging = stagingPath(target);
    this.#active.add(staging);
    try {
      mkdirSync(staging, { recursive: true, mode: 0o700 });
      const made = await fill(staging);
      // A record that outlives a power cut must not point at files that have not.
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

  /** A name of `folder` for a file under way, which gc leaves alone until `use` is over; it is removed then. */
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
   * `invalid_state` while a machine uses it. Files of the user's stay. Also for an image whose record
   * cannot be read.
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
    if (this.#holds.has(image.id)) {
      throw new BangerError(
        "conflict",
        `Cannot remove image "${image.name}": a machine is being created from it`,
      );
    }
    deleteImage(this.db, image.id);
    this.#removeFolder(image.id);
  }

  /** Until disposed of, the image is not removed: for a machine that has no row yet. */
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
    return this.#holds.has(id) || machinesOf(this.db, id).length > 0;
  }

  isActive(path: string): boolean {
    return this.#active.has(path);
  }

  /** Folders and files among the images that no row names and nobody is making. */
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

/** Whether a newer image has taken this one's name. */
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
