/**
 * Decides which extended attributes go into the inodes, writes the blocks for the others, and gives values that fit
 * neither an inode of their own. Source: fs/ext4/xattr.c, ext4_xattr_inode_create() and what it calls.
 */
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import type { Xattr } from "#ext4/attributes.ts";
import { crc32c } from "#ext4/crc32c.ts";
import { BLOCK_BYTES, xattr as format } from "#ext4/format.ts";
import type { Identity } from "#ext4/identity.ts";
import { putBlock, type StoredXattr, sortStored, storedBytes, toStored } from "#ext4/xattr.ts";
import type { BlockOutput } from "./output.ts";
import type { Tree } from "./tree.ts";

export interface PlacedXattrs {
  inline: StoredXattr[];
  /** Number of the block that holds the others, 0 for none. */
  block: number;
  /** Blocks of values with inodes of their own, which count as the file's. */
  valueBlocks: number;
}

/** As in Linux. */
const VALUE_MAX_BYTES = 64 * KiB;
/** A value of this size is not worth an inode. */
const VALUE_IN_BLOCK_BYTES = 64;
const BLOCK_ROOM_BYTES = BLOCK_BYTES - format.BLOCK_HEADER_BYTES;

/** `breathe` is awaited between the inodes. */
export async function placeXattrs(
  input: { tree: Tree; output: BlockOutput; identity: Identity },
  breathe: () => Promise<void>,
): Promise<{
  xattrs: Map<number, PlacedXattrs>;
  values: Map<number, number>;
  dropped: number;
}> {
  const xattrs = new Map<number, PlacedXattrs>();
  const values = new Map<number, number>();
  let dropped = 0;
  for (const [inode, attributes] of input.tree.inodesWithXattrs()) {
    await breathe();
    const stored = attributes.map(toStored).filter((attribute) => attribute !== undefined);
    dropped += attributes.length - stored.length;
    const { inline, outside } = divide(sortStored(stored), (attribute) => {
      const place = writeValue(attribute.value, input);
      values.set(place.inode, place.hash);
      return { ...attribute, place };
    });
    const valueBlocks = outside
      .filter(({ place }) => place)
      .reduce((sum, { value }) => sum + Math.ceil(value.length / BLOCK_BYTES), 0);
    let block = 0;
    if (outside.length > 0) {
      block = input.output.block;
      putBlock(input.output.nextBlock(), outside, {
        number: block,
        checksumSeed: input.identity.checksumSeed,
      });
    }
    xattrs.set(inode, { inline, block, valueBlocks });
  }
  return { xattrs, values, dropped };
}

function writeValue(
  value: Uint8Array,
  { tree, output, identity }: { tree: Tree; output: BlockOutput; identity: Identity },
): { inode: number; hash: number } {
  const inode = tree.createNameless(value.length);
  const start = output.block;
  output.write(value);
  output.padToBlock();
  tree.setRun(inode, start, output.block - start);
  return { inode, hash: crc32c(identity.checksumSeed, value) };
}

/** Throws when ext4 cannot hold these attributes on one file. */
export function checkXattrs(attributes: readonly Xattr[]): void {
  const stored = attributes.map(toStored).filter((attribute) => attribute !== undefined);
  divide(sortStored(stored), (attribute) => ({ ...attribute, place: { inode: 0, hash: 0 } }));
}

/** As many as fit the inode, in order; the others go into the block, the largest values out of it where it is full. */
function divide(
  stored: readonly StoredXattr[],
  moveOut: (attribute: StoredXattr) => StoredXattr,
): { inline: StoredXattr[]; outside: StoredXattr[] } {
  const tooLong = stored.find(({ value }) => value.length > VALUE_MAX_BYTES);
  if (tooLong) {
    throw new BangerError(
      "unsupported",
      `Cannot store an extended attribute of ${tooLong.value.length} bytes: at most ${VALUE_MAX_BYTES} are supported`,
    );
  }
  const inline: StoredXattr[] = [];
  const outside: StoredXattr[] = [];
  for (const attribute of stored) {
    const fits = storedBytes([...inline, attribute]) <= format.INLINE_BYTES;
    (fits ? inline : outside).push(attribute);
  }
  while (storedBytes(outside) > BLOCK_ROOM_BYTES) {
    const sizes = outside.map(({ value, place }) => (place ? 0 : value.length));
    const largest = sizes.indexOf(Math.max(...sizes));
    const attribute = outside[largest];
    if (!attribute || (sizes[largest] ?? 0) <= VALUE_IN_BLOCK_BYTES) {
      throw new BangerError(
        "unsupported",
        `Cannot store ${stored.length} extended attributes on a file: they do not fit in an ext4 block`,
      );
    }
    outside[largest] = moveOut(attribute);
  }
  return { inline, outside };
}
