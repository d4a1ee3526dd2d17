/** How bytes are compressed, by the magic numbers at their start. */

export type Compression = "gzip" | "zstd" | "xz" | "lzma" | "bzip2" | "lz4" | "lzop";

/** What must be there of the start, where there is that much. */
export const COMPRESSION_HEAD_BYTES = 6;

/** lzma has no magic number of its own: these are its usual parameters, with which other files may begin as well. */
const MAGIC_NUMBERS: readonly (readonly [RegExp, Compression])[] = [
  [/^1f8b/, "gzip"],
  // A frame, or one that is to be skipped, as pzstd writes them first.
  [/^(28b52ffd|5.2a4d18)/, "zstd"],
  [/^fd377a585a00/, "xz"],
  [/^425a68/, "bzip2"],
  // A frame, or the older format that kernels have.
  [/^(04224d18|02214c18)/, "lz4"],
  [/^894c5a4f/, "lzop"],
  [/^5d0000/, "lzma"],
];

/** Undefined for what is not compressed, or in no known way. */
export function compressionOf(head: Uint8Array): Compression | undefined {
  const { buffer, byteOffset, length } = head;
  const start = Buffer.from(buffer, byteOffset, Math.min(length, COMPRESSION_HEAD_BYTES));
  const hex = start.toString("hex");
  return MAGIC_NUMBERS.find(([magic]) => magic.test(hex))?.[1];
}
