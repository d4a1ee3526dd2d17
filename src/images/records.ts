/** Database rows of images, and the lookup of images by name, id, digest or reference. */
import type { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { type Image, imageConfig, imageFiles, imageName } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import type { Paths } from "#config/paths.ts";
import {
  jsonColumn,
  readRow,
  readRows,
  stored,
  type UnreadableRow,
  unreadableError,
} from "#store/row.ts";

/** One layer that the image was built from. */
const imageLayer = stored({
  /** Of the compressed layer. */
  digest: z.string(),
  /** Of the uncompressed tar. */
  diffId: z.string(),
  /** Compressed. */
  size_bytes: z.number(),
  mediaType: z.string(),
});
export type ImageLayer = z.infer<typeof imageLayer>;

const historyEntry = stored({
  created: z.string(),
  createdBy: z.string(),
  comment: z.string(),
  isEmptyLayer: z.boolean(),
});
export type HistoryEntry = z.infer<typeof historyEntry>;

/** Paths, relative to the image's directory or absolute. `rootfs` is always set. */
const recordFiles = stored({ ...imageFiles.shape, rootfs: z.string() });
export type RecordFiles = z.infer<typeof recordFiles>;

/** An image as it is stored: the API's `Image` without fields that derive from its id. */
export interface ImageRecord extends Omit<Image, "rootfs" | "files" | "layers" | "provisioned"> {
  files: RecordFiles;
  layers: readonly ImageLayer[];
  history: readonly HistoryEntry[];
  /** Digest of the index that the reference pointed to when it was pulled, if any. */
  rootDigest?: string;
  configDigest?: string;
}

type Optional = "managed" | "files" | "history";
export type NewImage = Omit<ImageRecord, Optional> & Partial<Pick<ImageRecord, Optional>>;

export const ROOTFS_NAME = "rootfs.ext4";
/** Reference of a build's intermediate images, which are hidden and removed with the build. */
export const INTERMEDIATE_REFERENCE = "build:intermediate";

const imageRow = z.object({
  id: z.string(),
  name: imageName,
  managed: z.int(),
  reference: z.string(),
  digest: z.string(),
  root_digest: z.string().nullable(),
  config_digest: z.string().nullable(),
  platform: z.string(),
  kernel: z.string().nullable(),
  files: jsonColumn(recordFiles),
  size_bytes: z.int(),
  allocated_bytes: z.int(),
  layers: jsonColumn(z.array(imageLayer)),
  config: jsonColumn(imageConfig),
  history: jsonColumn(z.array(historyEntry)),
  built_at: z.string().nullable(),
  created_at: z.iso.datetime(),
});

const idAndName = z.object({ id: z.string(), name: z.string() });
export type ImageName = z.infer<typeof idAndName>;

/** Every image with a readable record; `unreadableImages` lists the others. */
export function listImages(db: Database): ImageRecord[] {
  return readAll(db).readable.map(fromRow);
}

export function unreadableImages(db: Database): UnreadableRow[] {
  return readAll(db).unreadable;
}

function readAll(db: Database) {
  return readRows(db.query("SELECT * FROM images ORDER BY name").all(), "image", imageRow);
}

/** All images, unreadable records included. */
export function imageNames(db: Database): ImageName[] {
  return z.array(idAndName).parse(db.query("SELECT id, name FROM images ORDER BY name").all());
}

export function insertImage(db: Database, image: NewImage): void {
  db.query(
    `INSERT INTO images (id, name, managed, reference, digest, root_digest, config_digest, platform, kernel, files,
       size_bytes, allocated_bytes, layers, config, history, built_at, created_at)
     VALUES ($id, $name, $managed, $reference, $digest, $rootDigest, $configDigest, $platform, $kernel, $files,
       $size_bytes, $allocated_bytes, $layers, $config, $history, $builtAt, $createdAt)`,
  ).run(toRow(image));
}

/** Updates fields of a record; false if it no longer exists. */
export function patchImage(
  db: Database,
  id: string,
  patch: Partial<Omit<ImageRecord, "id">>,
): boolean {
  const row = db.query("SELECT * FROM images WHERE id = $id").get({ id });
  if (row) writeImage(db, { ...fromRow(readRow(row, "image", imageRow)), ...patch });
  return row !== null;
}

function writeImage(db: Database, image: ImageRecord): void {
  db.query(
    `UPDATE images SET name = $name, managed = $managed, reference = $reference, digest = $digest,
       root_digest = $rootDigest, config_digest = $configDigest, platform = $platform, kernel = $kernel, files = $files,
       size_bytes = $size_bytes, allocated_bytes = $allocated_bytes, layers = $layers, config = $config,
       history = $history, built_at = $builtAt, created_at = $createdAt WHERE id = $id`,
  ).run(toRow(image));
}

/** Also of an image whose record cannot be read. */
export function renameImage(db: Database, { id, name }: ImageName): void {
  db.query("UPDATE images SET name = $name WHERE id = $id").run({ id, name });
}

export function deleteImage(db: Database, id: string): void {
  db.query("DELETE FROM images WHERE id = $id").run({ id });
}

/** Names of the machines that use this image. */
export function machinesOf(db: Database, id: string): string[] {
  const rows = db.query("SELECT id, name FROM vms WHERE image_id = $id ORDER BY name").all({ id });
  return z
    .array(idAndName)
    .parse(rows)
    .map(({ name }) => name);
}

/**
 * Finds an image by name, id, digest or reference, or by a reference whose short form is an image's name
 * ("debian:bookworm" finds "debian-bookworm"). `integrity` for an unreadable record.
 */
export function findImage(db: Database, ref: string): ImageRecord | undefined {
  const { readable, unreadable } = readAll(db);
  const rows = [...readable, ...unreadable];
  const found =
    rows.find(({ name }) => name === ref) ??
    rows.find(({ id }) => id === ref) ??
    readable.find(({ digest, reference }) => digest === ref || reference === ref) ??
    rows.find(({ name }) => name === nameFromReference(ref));
  if (found && "problem" in found) throw unreadableError(found);
  return found && fromRow(found);
}

export function getImage(
  db: Database,
  ref: string,
  hint = `Pull it with: banger image pull ${ref}`,
): ImageRecord {
  const image = findImage(db, ref);
  if (image) return image;
  const names = imageNames(db).map(({ name }) => name);
  throw new BangerError("not_found", `no such image "${ref}"`, {
    hint: didYouMean(ref, names, hint),
  });
}

/** "127.0.0.1:5000/library/debian:bookworm" becomes "debian-bookworm"; a digest keeps 12 digits. */
export function nameFromReference(reference: string): string {
  const base = reference.replace(
    /^(oci|oci-archive|docker-archive|docker-daemon|containers-storage):/,
    "",
  );
  const last = base.split("/").at(-1) ?? base;
  const [withoutDigest = "", digest] = last.split("@sha256:");
  const name = withoutDigest
    .toLowerCase()
    .replace(/\.(tar|tar\.(gz|zst)|tgz|tzst)$/, "")
    .replace(/[^a-z0-9._]+/g, "-");
  const full = digest && !withoutDigest.includes(":") ? `${name}-${digest.slice(0, 12)}` : name;
  return full.replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "").slice(0, 127) || "image";
}

/** Absolute paths of an image's files. */
export function filesOf(image: ImageRecord, paths: Paths): RecordFiles {
  const { folder } = paths.image(image.id);
  const { rootfs, ...others } = image.files;
  const entries = Object.entries(others).flatMap(([kind, path]) =>
    path === undefined ? [] : [[kind, resolve(folder, path)]],
  );
  return { ...Object.fromEntries(entries), rootfs: resolve(folder, rootfs) };
}

export function toApi(image: ImageRecord, paths: Paths): Image {
  const { rootfs, ...files } = filesOf(image, paths);
  const { history: _history, rootDigest: _root, configDigest: _config, ...rest } = image;
  return { ...rest, layers: image.layers.length, files, rootfs };
}

function toRow(image: NewImage) {
  return {
    id: image.id,
    name: image.name,
    managed: (image.managed ?? true) ? 1 : 0,
    reference: image.reference,
    digest: image.digest,
    rootDigest: image.rootDigest ?? null,
    configDigest: image.configDigest ?? null,
    platform: image.platform,
    kernel: image.kernel ?? null,
    files: JSON.stringify(image.files ?? { rootfs: ROOTFS_NAME }),
    size_bytes: image.size_bytes,
    allocated_bytes: image.allocated_bytes,
    layers: JSON.stringify(image.layers),
    config: JSON.stringify(image.config),
    history: JSON.stringify(image.history ?? []),
    builtAt: image.builtAt ?? null,
    createdAt: image.createdAt,
  };
}

function fromRow(row: z.infer<typeof imageRow>): ImageRecord {
  return {
    id: row.id,
    name: row.name,
    managed: row.managed === 1,
    reference: row.reference,
    digest: row.digest,
    rootDigest: row.root_digest ?? undefined,
    configDigest: row.config_digest ?? undefined,
    platform: row.platform,
    kernel: row.kernel ?? undefined,
    files: row.files,
    size_bytes: row.size_bytes,
    allocated_bytes: row.allocated_bytes,
    layers: row.layers,
    config: row.config,
    history: row.history,
    builtAt: row.built_at ?? undefined,
    createdAt: row.created_at,
  };
}

/** `invalid_state` if one of the image's files is missing. */
export function assertFilesPresent(image: ImageRecord, paths: Paths): void {
  const missing = Object.values(filesOf(image, paths)).find((path) => path && !existsSync(path));
  if (!missing) return;
  throw new BangerError(
    "invalid_state",
    `Cannot use image "${image.name}": missing file "${missing}"`,
    {
      hint: image.managed
        ? `Pull it again: banger image pull --force ${image.reference}`
        : `Restore the file, or remove the image: banger image rm ${image.name}`,
    },
  );
}
