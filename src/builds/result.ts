/** Creates the image of a stage: its ext4 file and its record. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { type Digest, sha256 } from "#base/digest.ts";
import type { WorkOptions } from "#base/progress.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { exportTar } from "#images/export/tar.ts";
import { filesOf, type HistoryEntry, type ImageRecord, ROOTFS_NAME } from "#images/records.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import type { ImageStore, MadeImage } from "#images/store.ts";
import type { Layer } from "#oci/layer.ts";
import { formatPlatform, hostPlatform } from "#oci/platform.ts";
import { asLayer, type BuiltLayer } from "./layer-file.ts";

/** A finished stage. */
export interface StageFiles {
  base: ImageRecord | undefined;
  layers: readonly BuiltLayer[];
  history: readonly HistoryEntry[];
}

export interface MakeOptions extends WorkOptions {
  /** The image's directory. */
  folder: string;
  reference: string;
  seed: Digest;
  kernel: string | undefined;
}

/** The record has no configuration yet, and refers to the base's files in place. */
export async function makeImage(
  store: ImageStore,
  { base, layers: built, history }: StageFiles,
  options: MakeOptions,
): Promise<MadeImage & { files: ImageRecord["files"] }> {
  const { folder, reference, seed, signal, onProgress } = options;
  const layers = built.map(asLayer);
  const files = base && filesOf(base, store.paths);
  const below = base && files ? [rootfsLayer(base, files.rootfs)] : [];
  const rootfs = await buildRootfs([...below, ...layers], {
    path: join(folder, ROOTFS_NAME),
    seed,
    signal,
    onProgress,
  });
  const kernel = options.kernel ?? base?.kernel;
  return {
    reference,
    digest: seed,
    platform: base?.platform ?? formatPlatform(hostPlatform()),
    kernel,
    files: { ...files, rootfs: ROOTFS_NAME },
    size_bytes: rootfs.size_bytes,
    allocated_bytes: rootfs.allocated_bytes,
    layers: [
      ...(base?.layers ?? []),
      ...layers.map(({ digest, diffId, size, mediaType }) => ({
        digest,
        diffId,
        size_bytes: size,
        mediaType,
      })),
    ],
    // In a build machine, each command gets its environment explicitly.
    config: {},
    history: [...historyOf(base), ...history],
    builtAt: new Date().toISOString(),
  };
}

/** Copies the base's kernel, initrd and modules, because a managed image has its own files. */
export function copyBaseFiles(files: ImageRecord["files"], folder: string): ImageRecord["files"] {
  const taken = { ...files };
  for (const kind of ["kernel", "initrd", "modules", "workSeed"] as const) {
    const path = files[kind];
    if (!path) continue;
    cpSync(path, join(folder, kind), { recursive: true });
    taken[kind] = kind;
  }
  return taken;
}

/** The base image as the lowest layer, read from its ext4 and not hashed again. */
function rootfsLayer({ digest, size_bytes, name }: ImageRecord, rootfs: string): Layer {
  return {
    digest: sha256(`${digest} ${name}`),
    diffId: sha256(digest),
    isOwn: true,
    size: size_bytes,
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    async *compressed(signal) {
      using reader = openExt4(rootfs);
      yield* exportTar(reader, { signal });
    },
  };
}

/** History entries for layers that the base's history lacks. */
function historyOf(base: ImageRecord | undefined): HistoryEntry[] {
  if (!base) return [];
  const described = base.history.filter(({ isEmptyLayer }) => !isEmptyLayer).length;
  const missing = Array.from({ length: Math.max(0, base.layers.length - described) }, () => ({
    created: base.builtAt ?? base.createdAt,
    createdBy: `FROM ${base.reference}`,
    comment: "",
    isEmptyLayer: false,
  }));
  return [...base.history, ...missing];
}
