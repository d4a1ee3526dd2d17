/**
 * Provisioned layers: the changes that the first boot of an image's first machine made, kept as a second read-only
 * layer for later machines, which then install nothing. New machines use the newest layer of this version's first
 * boot; an older one is kept while machines use it.
 */
import { closeSync, existsSync, linkSync, openSync, renameSync, rmSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { sha256 } from "#base/digest.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { newId } from "#base/id.ts";
import type { WorkOptions } from "#base/progress.ts";
import { formatSize, GiB } from "#base/size.ts";
import { Ext4Writer, type WrittenImage } from "#ext4/write/writer.ts";
import { getImage, type ImageRecord } from "#images/records.ts";
import { LayerApplier } from "#images/rootfs/apply.ts";
import type { ImageStore } from "#images/store.ts";
import { TarReader } from "#tar/reader.ts";
import {
  deleteLayer,
  insertLayer,
  layerPath,
  layersOf,
  machinesOnLayer,
  type ProvisionedLayer,
  retireLayer,
} from "./records.ts";
import { withoutIdentity } from "./tar.ts";

const TAR_MAX_BYTES = 4 * GiB;
const ENTRIES_MAX = 1_000_000;
const LABEL = "provisioned";

export interface KeepOptions extends WorkOptions {
  tar: AsyncIterable<Uint8Array>;
  /** Limit of the archive. Default: 4 GiB, or half of the free space if that is less. */
  max_bytes?: number;
}

/** The provisioned layers of an image store. */
export interface ProvisionedLayers {
  /** The layer for new machines of the image, if any. */
  current(imageId: string): ProvisionedLayer | undefined;
  /** Whether the next first boot should be kept as a layer. */
  isWanted(imageId: string): boolean;
  keep(imageId: string, options: KeepOptions): Promise<ProvisionedLayer | undefined>;
  /** `invalid_state` if the layer of a machine is missing. */
  pathOf(imageId: string, id: string): string;
  retire(imageId: string): void;
}

export function provisionedLayers(store: ImageStore): ProvisionedLayers {
  return {
    current: (imageId) => currentLayer(store, imageId),
    isWanted: (imageId) => isLayerWanted(store, getImage(store.db, imageId)),
    keep: (imageId, options) => keepLayer(store, imageId, options),
    pathOf(imageId, id) {
      const path = layerPath(store.paths, { imageId, id });
      const isKnown = layersOf(store.db, imageId).some((layer) => layer.id === id);
      if (isKnown && existsSync(path)) return path;
      throw new BangerError("invalid_state", `Cannot boot: missing file ${path}`);
    },
    retire: (imageId) => retireLayers(store, imageId),
  };
}

/** The layer for new machines, if any. */
function currentLayer(store: ImageStore, imageId: string): ProvisionedLayer | undefined {
  return layersOf(store.db, imageId).findLast(({ firstBoot }) => firstBoot === store.firstBoot);
}

/** Whether the next first boot should be kept. Not for unmanaged images: their files may change below a layer. */
function isLayerWanted(store: ImageStore, image: ImageRecord): boolean {
  return image.managed && !currentLayer(store, image.id);
}

/**
 * Creates a layer from a machine's writable one, which the guest sends as `tar` and which is untrusted. Leaves
 * nothing behind on failure. Undefined if another machine has created one meanwhile.
 */
async function keepLayer(
  store: ImageStore,
  imageId: string,
  options: KeepOptions,
): Promise<ProvisionedLayer | undefined> {
  const image = getImage(store.db, imageId);
  const layer = { id: newId(), imageId, firstBoot: store.firstBoot };
  const path = layerPath(store.paths, layer);
  return await store.withScratch(store.paths.image(imageId).folder, LABEL, async (staging) => {
    const { size_bytes, allocated_bytes } = await writeLayer(staging, layer.id, options);
    // Synchronous from here: the file is in place before its row.
    if (!isLayerWanted(store, image)) return undefined;
    renameSync(staging, path);
    const made = { ...layer, size_bytes, allocated_bytes, createdAt: new Date().toISOString() };
    try {
      insertLayer(store.db, made);
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    }
    return made;
  });
}

async function writeLayer(path: string, seed: string, options: KeepOptions): Promise<WrittenImage> {
  const fd = openSync(path, "wx", 0o600);
  const writer = new Ext4Writer(fd, { seed: sha256(seed), label: LABEL });
  const limits = { counts: { entries: 0, xattrs_bytes: 0 }, entriesMax: ENTRIES_MAX };
  const reader = new TarReader(withoutIdentity(new LayerApplier(writer, 1, limits)));
  const { bavail, bsize } = statfsSync(dirname(path));
  const max = Math.min(options.max_bytes ?? TAR_MAX_BYTES, Math.floor((bavail * bsize) / 2));
  let done = 0;
  try {
    for await (const chunk of options.tar) {
      throwIfAborted(options.signal);
      done += chunk.length;
      if (done > max) throw tooLarge(max);
      reader.push(chunk);
      await writer.drain();
      options.onProgress?.({
        step: "provisioned",
        message: "Saving the installed packages for other machines of the image",
        done,
        unit: "bytes",
      });
    }
    reader.finish();
    return await writer.finish({ signal: options.signal });
  } catch (error) {
    throw toBangerError(error);
  } finally {
    await writer.settle();
    closeSync(fd);
  }
}

function tooLarge(max: number): BangerError {
  return new BangerError("limit_exceeded", `larger than ${formatSize(max)}`);
}

/** Shares an image's layer with another image of the same content, by a hard link. */
export function shareLayer(store: ImageStore, imageId: string, withId: string): void {
  const layer = currentLayer(store, imageId);
  if (!layer) return;
  const shared = { ...layer, id: newId(), imageId: withId };
  try {
    linkSync(layerPath(store.paths, layer), layerPath(store.paths, shared));
  } catch {
    // Without it, the first machine of the other image is provisioned again.
    return;
  }
  insertLayer(store.db, shared);
}

/** Layers that are neither current nor in use by a machine. */
export function unusedLayers(store: ImageStore, imageId: string): ProvisionedLayer[] {
  const current = currentLayer(store, imageId);
  return layersOf(store.db, imageId).filter(
    (layer) => layer.id !== current?.id && !isLayerUsed(store, layer),
  );
}

function isLayerUsed(store: ImageStore, { id, imageId }: ProvisionedLayer): boolean {
  if (machinesOnLayer(store.db, id).length > 0) return true;
  return store.snapshotsOf(imageId).some(({ layer }) => layer === id);
}

/** The row is deleted before the file, which is an orphan from then on. */
export function removeLayer(store: ImageStore, layer: ProvisionedLayer): void {
  deleteLayer(store.db, layer.id);
  rmSync(layerPath(store.paths, layer), { force: true });
}

/** The image's next machine is provisioned again. A layer in use by machines is kept until they are removed. */
function retireLayers(store: ImageStore, imageId: string): void {
  for (const layer of layersOf(store.db, imageId)) {
    if (!isLayerUsed(store, layer)) removeLayer(store, layer);
    else retireLayer(store.db, layer.id);
  }
}
