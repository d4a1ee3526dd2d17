/** Database rows of provisioned layers, and the machines that use them. */
import type { Database } from "bun:sqlite";
import { join } from "node:path";
import { z } from "zod";
import type { Paths } from "#config/paths.ts";

export interface ProvisionedLayer {
  id: string;
  imageId: string;
  /** Digest of the first boot that created it. */
  firstBoot: string;
  /** File size. */
  size_bytes: number;
  /** Disk usage. */
  allocated_bytes: number;
  createdAt: string;
}

const layerRow = z.object({
  id: z.string(),
  image_id: z.string(),
  first_boot: z.string(),
  size_bytes: z.int(),
  allocated_bytes: z.int(),
  created_at: z.string(),
});
const names = z.array(z.object({ name: z.string() }));

/** Those of one image, oldest first. */
export function layersOf(db: Database, imageId: string): ProvisionedLayer[] {
  const rows = db
    .query("SELECT * FROM provisioned_layers WHERE image_id = $imageId ORDER BY rowid")
    .all({ imageId });
  return z
    .array(layerRow)
    .parse(rows)
    .map((row) => ({
      id: row.id,
      imageId: row.image_id,
      firstBoot: row.first_boot,
      size_bytes: row.size_bytes,
      allocated_bytes: row.allocated_bytes,
      createdAt: row.created_at,
    }));
}

export function insertLayer(db: Database, layer: ProvisionedLayer): void {
  db.query(
    `INSERT INTO provisioned_layers (id, image_id, first_boot, size_bytes, allocated_bytes, created_at)
     VALUES ($id, $imageId, $firstBoot, $size_bytes, $allocated_bytes, $createdAt)`,
  ).run({ ...layer });
}

export function deleteLayer(db: Database, id: string): void {
  db.query("DELETE FROM provisioned_layers WHERE id = $id").run({ id });
}

/** It is no longer used for new machines. */
export function retireLayer(db: Database, id: string): void {
  db.query("UPDATE provisioned_layers SET first_boot = '' WHERE id = $id").run({ id });
}

/** Names of the machines that use a layer; a machine with an unreadable record counts as a user. */
export function machinesOnLayer(db: Database, id: string): string[] {
  const rows = db
    .query(
      `SELECT name FROM vms
       WHERE CASE WHEN json_valid(spec) THEN spec ->> '$.provisioned' = $id
         ELSE image_id = (SELECT image_id FROM provisioned_layers WHERE id = $id) END
       ORDER BY name`,
    )
    .all({ id });
  return names.parse(rows).map(({ name }) => name);
}

export function layerPath(paths: Paths, layer: Pick<ProvisionedLayer, "id" | "imageId">): string {
  return join(paths.image(layer.imageId).folder, `provisioned-${layer.id}.ext4`);
}
