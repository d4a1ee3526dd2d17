/** What images and what belongs to them take on disk, and what of it can be freed. */
import { z } from "zod";
import { imageName } from "./image.ts";

export const imageGc = z.object({
  /** Also the cached layers of images that are here; they are only needed for another image. */
  all: z.boolean().optional(),
  /** Removes nothing, and says what would be. */
  dryRun: z.boolean().optional(),
});
export type ImageGc = z.infer<typeof imageGc>;

/** What gc has removed. */
export const imageGcResult = z.object({
  /** Images that a newer one of their name has replaced, once no machine stands on them. */
  images: z.int(),
  /** Provisioned layers that no machine stands on and no new one would take. */
  layers: z.int(),
  /** Cached blobs that no image refers to. */
  blobs: z.int(),
  /** Steps of builds that no build has used for a while. */
  steps: z.int(),
  /** Templates of new machines: those over their limit, or all. */
  templates: z.int(),
  /** Transfers that nobody goes on with. */
  partials: z.int(),
  /** Half-made files and folders. */
  orphans: z.int(),
  freed_bytes: z.int(),
});
export type ImageGcResult = z.infer<typeof imageGcResult>;

/** What images take on disk, blocks that two of them share counted once. */
export const imageUsage = z.object({
  images: z.array(
    z.object({
      name: imageName,
      managed: z.boolean(),
      /** Of the rootfs, as its machines see it. */
      size_bytes: z.int(),
      /** Of all its files, on disk. */
      allocated_bytes: z.int(),
      /** The part of it that other images share. */
      shared_bytes: z.int(),
      machines: z.int(),
    }),
  ),
  /** All managed images together. */
  images_bytes: z.int(),
  /** Cached layers and manifests. */
  cache_bytes: z.int(),
  /** Cached steps of builds. */
  builds_bytes: z.int(),
  /** Templates of new machines. */
  templates_bytes: z.int(),
  /** Snapshots of machines, which no gc removes. */
  snapshots_bytes: z.int(),
  /** Volumes, likewise. */
  volumes_bytes: z.int(),
  /** The part of the disk that gc would free. */
  reclaimable_bytes: z.int(),
});
export type ImageUsage = z.infer<typeof imageUsage>;
