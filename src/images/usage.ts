/** Disk usage of images. Files that images share by hard links are counted once. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { ImageUsage } from "#api/image-space.ts";
import { layerPath, layersOf } from "#images/provisioned/records.ts";
import { diskUsage, findGarbage } from "./gc.ts";
import { filesOf, type ImageRecord, listImages, machinesOf } from "./records.ts";
import type { ImageStore } from "./store.ts";

interface OwnFile {
  key: string;
  size_bytes: number;
}

export function measureUsage(
  store: ImageStore,
): Omit<ImageUsage, "templates_bytes" | "snapshots_bytes" | "volumes_bytes"> {
  const images = listImages(store.db).map((image) => ({ image, files: ownFiles(store, image) }));
  const owners = new Map<string, number>();
  for (const { files } of images) {
    for (const { key } of files) owners.set(key, (owners.get(key) ?? 0) + 1);
  }
  const all = new Map(images.flatMap(({ files }) => files.map((file) => [file.key, file])));
  return {
    images: images.map(({ image, files }) => ({
      name: image.name,
      managed: image.managed,
      size_bytes: image.size_bytes,
      allocated_bytes: image.managed ? sum(files) : image.allocated_bytes,
      shared_bytes: sum(files.filter(({ key }) => (owners.get(key) ?? 0) > 1)),
      machines: machinesOf(store.db, image.id).length,
    })),
    images_bytes: sum([...all.values()]),
    cache_bytes: diskUsage(store.paths.blobs),
    builds_bytes: diskUsage(store.paths.builds),
    reclaimable_bytes: sum(findGarbage(store, { all: false })),
  };
}

/** The files in the image's directory, hard links counted once. */
function ownFiles(store: ImageStore, image: ImageRecord): OwnFile[] {
  const { folder } = store.paths.image(image.id);
  const found = new Map<string, OwnFile>();
  const visit = (path: string): void => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) return;
    const key = `${stat.dev}:${stat.ino}`;
    found.set(key, { key, size_bytes: stat.blocks * 512 });
    if (stat.isDirectory()) for (const name of readdirSync(path)) visit(join(path, name));
  };
  const layers = layersOf(store.db, image.id).map((layer) => layerPath(store.paths, layer));
  for (const path of [...Object.values(filesOf(image, store.paths)), ...layers]) {
    if (path?.startsWith(`${folder}/`)) visit(path);
  }
  return [...found.values()];
}

function sum(files: readonly { size_bytes: number }[]): number {
  return files.reduce((total, { size_bytes }) => total + size_bytes, 0);
}
