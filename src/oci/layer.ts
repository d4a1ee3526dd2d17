import type { Digest } from "#base/digest.ts";

/**
 * One layer of an image, wherever it comes from. `digest` and `size` speak of the
 * compressed bytes, `diffId` of the tar inside; mixing the two up is the classic
 * mistake, so they never share a name.
 */
export interface Layer {
  /** Of the bytes as stored and transferred. */
  digest: Digest;
  /** Of the uncompressed tar, from `rootfs.diff_ids` of the image config. */
  diffId: Digest;
  /** Its bytes come from this program itself, in this run, and are not compared with `diffId`. */
  isOwn?: boolean;
  /** Compressed size in bytes, from the descriptor. */
  size: number;
  /** Such as "application/vnd.oci.image.layer.v1.tar+gzip". */
  mediaType: string;
  /**
   * The compressed bytes. The stream ends with an `integrity` error when they are not
   * `size` bytes long or do not hash to `digest`, and never gives more than `size`.
   */
  compressed(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}
