import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { sha256 } from "#base/digest.ts";
import { MiB } from "#base/size.ts";

/** Superblock, group descriptors with their checksums, and the first of what they describe. */
const HEAD_BYTES = MiB;

/**
 * Tells file systems apart without reading them whole: memory has blocks of its rootfs in its cache, and an image
 * that another version of banger converted may have them elsewhere.
 */
export function rootfsMark(path: string): string {
  const fd = openSync(path, "r");
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    const length = readSync(fd, head, 0, HEAD_BYTES, 0);
    return `${fstatSync(fd).size} ${sha256(head.subarray(0, length))}`;
  } finally {
    closeSync(fd);
  }
}
