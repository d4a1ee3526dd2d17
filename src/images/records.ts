/** Image rows of the store, and which of them a user means by a name. */
import type { Database } from "bun:sqlite";
import type { Image, ImageConfig } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import type { Paths } from "#config/paths.ts";

/** An image as it is kept: the API noun without what follows from its id. */
export type ImageRecord = Omit<Image, "rootfs">;

interface Row {
  id: string;
  name: string;
  reference: string;
  digest: string;
  platform: string;
  kernel: string | null;
  size_bytes: number;
  allocated_bytes: number;
  layers: number;
  config: string;
  created_at: string;
}

export function listImages(db: Database): ImageRecord[] {
  return (db.query("SELECT * FROM images ORDER BY name").all() as Row[]).map(fromRow);
}

export function insertImage(db: Database, image: ImageRecord): void {
  db.query(
    `INSERT INTO images (id, name, reference, digest, platform, kernel, size_bytes, allocated_bytes, layers, config, created_at)
     VALUES ($id, $name, $reference, $digest, $platform, $kernel, $size_bytes, $allocated_bytes, $layers, $config, $createdAt)`,
  ).run({ ...image, kernel: image.kernel ?? null, config: JSON.stringify(image.config) });
}

export function renameImage(db: Database, id: string, name: string): void {
  db.query("UPDATE images SET name = $name WHERE id = $id").run({ id, name });
}

export function setImageKernel(db: Database, id: string, kernel: string): void {
  db.query("UPDATE images SET kernel = $kernel WHERE id = $id").run({ id, kernel });
}

export function deleteImage(db: Database, id: string): void {
  db.query("DELETE FROM images WHERE id = $id").run({ id });
}

/** Names of the machines whose disk stands on this image. */
export function machinesOf(db: Database, id: string): string[] {
  const rows = db.query("SELECT name FROM vms WHERE image_id = $id ORDER BY name").all({ id });
  return (rows as { name: string }[]).map((row) => row.name);
}

/**
 * The image meant by `ref`: its name, id, digest or reference, or a reference whose
 * short form is an image's name ("debian:bookworm" means "debian-bookworm").
 */
export function findImage(db: Database, ref: string): ImageRecord | undefined {
  const images = listImages(db);
  return (
    images.find((image) => image.name === ref) ??
    images.find((image) => image.id === ref) ??
    images.find((image) => image.digest === ref || image.reference === ref) ??
    images.find((image) => image.name === nameFromReference(ref))
  );
}

export function getImage(db: Database, ref: string): ImageRecord {
  const image = findImage(db, ref);
  if (image) return image;
  const names = listImages(db).map(({ name }) => name);
  throw new BangerError("not_found", `Cannot find image "${ref}": it is not here`, {
    hint: didYouMean(ref, names, `Pull it with: banger image pull ${ref}`),
  });
}

/** "127.0.0.1:5000/library/debian:bookworm" becomes "debian-bookworm"; a digest keeps 12 digits. */
export function nameFromReference(reference: string): string {
  const base = reference.replace(/^(oci|oci-archive|docker-archive):/, "");
  const last = base.split("/").at(-1) ?? base;
  const [withoutDigest = "", digest] = last.split("@sha256:");
  const name = withoutDigest
    .toLowerCase()
    .replace(/\.(tar|tar\.gz|tgz)$/, "")
    .replace(/[^a-z0-9._]+/g, "-");
  const full = digest && !withoutDigest.includes(":") ? `${name}-${digest.slice(0, 12)}` : name;
  return full.replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "").slice(0, 127) || "image";
}

export function toApi(image: ImageRecord, paths: Paths): Image {
  return { ...image, rootfs: paths.image(image.id).rootfs };
}

function fromRow(row: Row): ImageRecord {
  return {
    id: row.id,
    name: row.name,
    reference: row.reference,
    digest: row.digest,
    platform: row.platform,
    ...(row.kernel === null ? {} : { kernel: row.kernel }),
    size_bytes: row.size_bytes,
    allocated_bytes: row.allocated_bytes,
    layers: row.layers,
    config: JSON.parse(row.config) as ImageConfig,
    createdAt: row.created_at,
  };
}
