/** Garbage collection: unreferenced blobs, abandoned downloads, and incomplete files after a crash. */
import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  rmSync,
  type Stats,
} from "node:fs";
import { basename, join } from "node:path";
import type { ImageGc, ImageGcResult } from "#api/image-space.ts";
import { STAGING_MARK } from "#base/files/atomic.ts";
import { tryLock } from "#base/libc.ts";
import { removeLayer, unusedLayers } from "#images/provisioned/layers.ts";
import { layerPath, type ProvisionedLayer } from "#images/provisioned/records.ts";
import { type ImageRecord, INTERMEDIATE_REFERENCE, listImages } from "./records.ts";
import { type ImageStore, isReplacedName } from "./store.ts";

/** How long the partial file of an interrupted download is kept for the next attempt. */
const PARTIAL_KEPT_MS = 24 * 3_600_000;
const PARTIAL_SUFFIX = ".partial";

type Kind = "images" | "layers" | "blobs" | "steps" | "partials" | "orphans";

interface Garbage {
  kind: Kind;
  /** Of a layer. */
  layer?: ProvisionedLayer;
  path: string;
  /** Disk space that deleting it frees. */
  size_bytes: number;
}

/** Waits for images that are being opened, whose blobs are not known yet. */
export async function collectGarbage(
  store: ImageStore,
  request: ImageGc,
  options: { signal?: AbortSignal | undefined; now_ms?: number } = {},
): Promise<Omit<ImageGcResult, "templates">> {
  return await store.blobs.sweep(() => {
    const found = findGarbage(store, { all: request.all ?? false, now_ms: options.now_ms });
    const gone = request.dryRun ? found : found.filter((each) => removeOne(store, each));
    const count = (kind: Kind): number => gone.filter((each) => each.kind === kind).length;
    return {
      images: count("images"),
      layers: count("layers"),
      blobs: count("blobs"),
      steps: count("steps"),
      partials: count("partials"),
      orphans: count("orphans"),
      freed_bytes: gone.reduce((sum, { size_bytes }) => sum + size_bytes, 0),
    };
  }, options.signal);
}

/** Removes what a crash left behind. Returns the paths. */
export function sweepLeftovers(store: ImageStore): string[] {
  const orphans = [...store.orphans(), ...store.steps.leftovers()];
  for (const path of orphans) rmSync(path, { recursive: true, force: true });
  for (const { reference, id } of listImages(store.db)) {
    // A machine that still uses one is about to be removed; the next gc removes the image.
    if (reference === INTERMEDIATE_REFERENCE && !store.isUsed(id)) store.remove(id);
  }
  return orphans;
}

/** Removes the partial files of these blobs, unless they are being downloaded. */
export function removePartials(store: ImageStore, digests: readonly string[]): void {
  for (const digest of digests) {
    const name = `${digest.replace("sha256:", "")}${PARTIAL_SUFFIX}`;
    const path = join(store.paths.blobs, "sha256", name);
    removeOne(store, { kind: "partials", path, size_bytes: 0 });
  }
}

/** Read-only. */
export function findGarbage(
  store: ImageStore,
  options: { all: boolean; now_ms?: number | undefined },
): Garbage[] {
  const orphans = [...store.orphans(), ...scratchOf(store, store.paths.downloads)];
  const [replaced, kept] = partition(listImages(store.db), (image) => isReplaced(store, image));
  const layers = kept.flatMap(({ id }) => unusedLayers(store, id));
  return [
    ...layers.map((layer) => {
      const path = layerPath(store.paths, layer);
      return { kind: "layers" as const, layer, path, size_bytes: diskUsage(path) };
    }),
    ...replaced.map(({ id }) => {
      const path = store.paths.image(id).folder;
      return { kind: "images" as const, path, size_bytes: diskUsage(path) };
    }),
    ...orphans.map((path) => ({ kind: "orphans" as const, path, size_bytes: diskUsage(path) })),
    ...store.steps.garbage(options).map((path) => {
      return { kind: "steps" as const, path, size_bytes: diskUsage(path) };
    }),
    ...findBlobs(store, options),
  ];
}

function partition<T>(all: readonly T[], isFirst: (each: T) => boolean): [T[], T[]] {
  return [all.filter(isFirst), all.filter((each) => !isFirst(each))];
}

/** An image whose row was kept only for a machine or build that is gone. */
function isReplaced(store: ImageStore, image: ImageRecord): boolean {
  const isLeft = isReplacedName(image) || image.reference === INTERMEDIATE_REFERENCE;
  return isLeft && !store.isUsed(image.id);
}

/** Disk usage of a file or a directory tree. */
export function diskUsage(path: string, seen: Set<string> = new Set()): number {
  const stat = statOf(path);
  if (!stat) return 0;
  // Blocks are freed only with the last hard link.
  const key = `${stat.dev}:${stat.ino}`;
  const own = seen.has(key) ? 0 : stat.blocks * 512;
  seen.add(key);
  if (!stat.isDirectory()) return own;
  return readdirSync(path).reduce((sum, name) => sum + diskUsage(join(path, name), seen), own);
}

function findBlobs(
  store: ImageStore,
  { all, now_ms = Date.now() }: { all: boolean; now_ms?: number | undefined },
): Garbage[] {
  const folder = join(store.paths.blobs, "sha256");
  if (!existsSync(folder)) return scratchGarbage(store);
  const referenced = all ? new Set<string>() : referencedDigests(store);
  const found = readdirSync(folder).flatMap((name): Garbage[] => {
    const path = join(folder, name);
    const stat = statOf(path);
    if (!stat || store.isActive(path)) return [];
    const size_bytes = stat.blocks * 512;
    if (name.startsWith(STAGING_MARK)) return [{ kind: "orphans", path, size_bytes }];
    if (name.endsWith(PARTIAL_SUFFIX)) {
      const isOld = all || now_ms - stat.mtimeMs > PARTIAL_KEPT_MS;
      return isOld && !isLocked(path) ? [{ kind: "partials", path, size_bytes }] : [];
    }
    const digest = `sha256:${name}`;
    if (referenced.has(digest) || store.blobs.isHeld(digest)) return [];
    return [{ kind: "blobs", path, size_bytes }];
  });
  return [...found, ...scratchGarbage(store)];
}

function scratchGarbage(store: ImageStore): Garbage[] {
  return scratchOf(store, store.paths.blobs).map((path) => ({
    kind: "orphans",
    path,
    size_bytes: diskUsage(path),
  }));
}

function referencedDigests(store: ImageStore): Set<string> {
  return new Set(
    listImages(store.db)
      .filter((image) => !isReplaced(store, image))
      .flatMap(({ digest, rootDigest, configDigest, layers }) => [
        digest,
        ...(rootDigest ? [rootDigest] : []),
        ...(configDigest ? [configDigest] : []),
        ...layers.map((layer) => layer.digest),
      ]),
  );
}

/** Incomplete files of images in a cache directory that kernels use as well. */
function scratchOf(store: ImageStore, folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith(`${STAGING_MARK}image-`))
    .map((name) => join(folder, name))
    .filter((path) => !store.isActive(path));
}

/** Whether a process is downloading it; none is if the file cannot be opened. */
function isLocked(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch {
    return false;
  }
  try {
    return !tryLock(fd);
  } finally {
    closeSync(fd);
  }
}

/** A partial file is removed under its lock. */
function removeOne(store: ImageStore, { kind, layer, path }: Garbage): boolean {
  if (kind === "partials" && isLocked(path)) return false;
  try {
    if (kind === "images") store.remove(basename(path));
    else if (layer) removeLayer(store, layer);
    else rmSync(path, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
