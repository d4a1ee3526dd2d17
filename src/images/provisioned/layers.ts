/**
 * What the first machine of an image installed on its first boot, kept as a second read-only layer:
 * machines that are made later have it below their own writable one, and install nothing. A layer
 * stays as long as a machine stands on it; the newest that this program's first boot made is for new ones.
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
  /** Of the archive. Default 4 GiB, and never more than half of what is free. */
  max_bytes?: number;
}

/** The layers of a store, as machines use them. */
export interface ProvisionedLayers {
  /** The layer for a new machine of the image, if there is one. */
  current(imageId: string): ProvisionedLayer | undefined;
  /** Whether the next installation is to be kept. */
  isWanted(imageId: string): boolean;
  keep(imageId: string, options: KeepOptions): Promise<ProvisionedLayer | undefined>;
  /** `invalid_state` when the layer of a machine is gone. */
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
      if (existsSync(path)) return path;
      throw new BangerError("invalid_state", `Cannot boot: missing file ${path}`);
    },
    retire: (imageId) => retireLayers(store, imageId),
  };
}

/** The layer for a new machine, if there is one. */
function currentLayer(store: ImageStore, imageId: string): ProvisionedLayer | undefined {
  return layersOf(store.db, imageId).findLast(({ firstBoot }) => firstBoot === store.firstBoot);
}

/** Whether the next machine's installation is to be kept. Files of the user's may change below a layer. */
function isLayerWanted(store: ImageStore, image: ImageRecord): boolean {
  return image.managed && !currentLayer(store, image.id);
}

/**
 * Makes a layer of a machine's writable one, which its guest sends as `tar` and which is taken for
 * hostile. Nothing is left when that fails. Undefined when somebody has made one meanwhile.
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
    // From here on nothing waits: the file is in place before its row.
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

/** The layer of an image under the name of another one of the same content: it takes no room. */
export function shareLayer(store: ImageStore, imageId: string, withId: string): void {
  const layer = currentLayer(store, imageId);
  if (!layer) return;
  const shared = { ...layer, id: newId(), imageId: withId };
  try {
    linkSync(layerPath(store.paths, layer), layerPath(store.paths, shared));
  } catch {
    // Without it the first machine of the other image installs.
    return;
  }
  insertLayer(store.db, shared);
}

/** Layers that no new machine would take and none stands on. */
export function unusedLayers(store: ImageStore, imageId: string): ProvisionedLayer[] {
  const current = currentLayer(store, imageId);
  return layersOf(store.db, imageId).filter(
    ({ id }) => id !== current?.id && machinesOnLayer(store.db, id).length === 0,
  );
}

/** The row goes before the file, which is a stray from then on. */
export function removeLayer(store: ImageStore, layer: ProvisionedLayer): void {
  deleteLayer(store.db, layer.id);
  rmSync(layerPath(store.paths, layer), { force: true });
}

/**
 * From now on the image's next machine installs anew. A layer that machines stand on stays with them,
 * and is garbage when they are gone.
 */
function retireLayers(store: ImageStore, imageId: string): void {
  for (const layer of layersOf(store.db, imageId)) {
    if (machinesOnLayer(store.db, layer.id).length === 0) removeLayer(store, layer);
    else retireLayer(store.db, layer.id);
  }
}
