/** Decides which extended attributes go into the inodes, and writes the blocks for the others. */
import { BangerError } from "#base/error.ts";
import type { Xattr } from "./attributes.ts";
import { BLOCK_BYTES, xattr as format } from "./format.ts";
import type { Identity } from "./identity.ts";
import type { BlockOutput } from "./output.ts";
import type { Tree } from "./tree.ts";
import { putBlock, type StoredXattr, sortStored, storedBytes, toStored } from "./xattr.ts";

export interface PlacedXattrs {
  inline: StoredXattr[];
  /** Number of the block that holds the others, 0 for none. */
  block: number;
}

const BLOCK_ROOM_BYTES = BLOCK_BYTES - format.BLOCK_HEADER_BYTES;

/** `breathe` is awaited between the inodes. */
export async function placeXattrs(
  input: { tree: Tree; output: BlockOutput; identity: Identity },
  breathe: () => Promise<void>,
): Promise<{ xattrs: Map<number, PlacedXattrs>; dropped: number }> {
  const xattrs = new Map<number, PlacedXattrs>();
  let dropped = 0;
  for (const [inode, attributes] of input.tree.inodesWithXattrs()) {
    await breathe();
    const stored = attributes.map(toStored).filter((attribute) => attribute !== undefined);
    dropped += attributes.length - stored.length;
    const { inline, outside } = divide(sortStored(stored));
    let block = 0;
    if (outside.length > 0) {
      block = input.output.block;
      putBlock(input.output.nextBlock(), outside, {
        number: block,
        checksumSeed: input.identity.checksumSeed,
      });
    }
    xattrs.set(inode, { inline, block });
  }
  return { xattrs, dropped };
}

/** Throws when ext4 cannot hold these attributes on one file. */
export function checkXattrs(attributes: readonly Xattr[]): void {
  divide(sortStored(attributes.map(toStored).filter((attribute) => attribute !== undefined)));
}

/** As many as fit the inode, in order; the others go into the block. */
function divide(stored: readonly StoredXattr[]): {
  inline: StoredXattr[];
  outside: StoredXattr[];
} {
  const inline: StoredXattr[] = [];
  const outside: StoredXattr[] = [];
  for (const attribute of stored) {
    const fits = storedBytes([...inline, attribute]) <= format.INLINE_BYTES;
    (fits ? inline : outside).push(attribute);
  }
  if (storedBytes(outside) > BLOCK_ROOM_BYTES) {
    throw new BangerError(
      "unsupported",
      `Cannot store ${storedBytes(stored)} bytes of extended attributes: ext4 holds about 4,000 for a file`,
    );
  }
  return { inline, outside };
}
