/**
 * Places extended attributes: in the inode while they fit, then in an attribute block, and values too large for the
 * block in inodes of their own (ea_inode). Source: fs/ext4/xattr.c, ext4_xattr_inode_create() and its callees.
 */
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import type { Xattr } from "#ext4/attributes.ts";
import { crc32c } from "#ext4/crc32c.ts";
import { BLOCK_BYTES, xattr as format } from "#ext4/format.ts";
import { putBlock, type StoredXattr, sortStored, storedBytes, toStored } from "#ext4/xattr.ts";
import {
  drainOutput,
  type InodeXattrs,
  type MetadataInput,
  type XattrPlacement,
} from "./layout.ts";

/** XATTR_SIZE_MAX in Linux. */
const VALUE_MAX_BYTES = 64 * KiB;
/** Values up to this size never get an inode. */
const VALUE_IN_BLOCK_BYTES = 64;
const BLOCK_CAPACITY_BYTES = BLOCK_BYTES - format.BLOCK_HEADER_BYTES;

/** Writes attribute blocks and value inodes. */
export async function writeXattrs(input: MetadataInput): Promise<XattrPlacement> {
  const byInode = new Map<number, InodeXattrs>();
  const valueInodes = new Map<number, number>();
  let dropped = 0;
  for (const [inode, attributes] of input.tree.inodesWithXattrs()) {
    await drainOutput(input);
    const stored = attributes.map(toStored).filter((attribute) => attribute !== undefined);
    dropped += attributes.length - stored.length;
    const { inline, inBlock } = distribute(sortStored(stored), (attribute) => {
      const valueInode = writeValue(attribute.value, input);
      valueInodes.set(valueInode.inode, valueInode.hash);
      return { ...attribute, valueInode };
    });
    const valueBlocks = inBlock
      .filter(({ valueInode }) => valueInode)
      .reduce((sum, { value }) => sum + Math.ceil(value.length / BLOCK_BYTES), 0);
    let block = 0;
    if (inBlock.length > 0) {
      block = input.output.block;
      putBlock(input.output.nextBlock(), inBlock, {
        number: block,
        checksumSeed: input.identity.checksumSeed,
      });
    }
    byInode.set(inode, { inline, block, valueBlocks });
  }
  return { byInode, valueInodes, dropped };
}

function writeValue(
  value: Uint8Array,
  { tree, output, identity }: MetadataInput,
): { inode: number; hash: number } {
  const inode = tree.createValueInode(value.length);
  const start = output.block;
  output.write(value);
  output.padToBlock();
  tree.setRun(inode, start, output.block - start);
  return { inode, hash: crc32c(identity.checksumSeed, value) };
}

/** Throws when ext4 cannot hold these attributes on one file. */
export function checkXattrs(attributes: readonly Xattr[]): void {
  const stored = attributes.map(toStored).filter((attribute) => attribute !== undefined);
  distribute(sortStored(stored), (attribute) => ({
    ...attribute,
    valueInode: { inode: 0, hash: 0 },
  }));
}

/** As many as fit go into the inode, in order, the others into the block; while that is full, its largest values move out. */
function distribute(
  stored: readonly StoredXattr[],
  moveOut: (attribute: StoredXattr) => StoredXattr,
): { inline: StoredXattr[]; inBlock: StoredXattr[] } {
  const tooLong = stored.find(({ value }) => value.length > VALUE_MAX_BYTES);
  if (tooLong) {
    throw new BangerError(
      "unsupported",
      `Cannot store an extended attribute of ${tooLong.value.length} bytes: at most ${VALUE_MAX_BYTES} are supported`,
    );
  }
  const inline: StoredXattr[] = [];
  const inBlock: StoredXattr[] = [];
  for (const attribute of stored) {
    const fits = storedBytes([...inline, attribute]) <= format.INLINE_BYTES;
    (fits ? inline : inBlock).push(attribute);
  }
  while (storedBytes(inBlock) > BLOCK_CAPACITY_BYTES) {
    const sizes = inBlock.map(({ value, valueInode }) => (valueInode ? 0 : value.length));
    const largest = sizes.indexOf(Math.max(...sizes));
    const attribute = inBlock[largest];
    if (!attribute || (sizes[largest] ?? 0) <= VALUE_IN_BLOCK_BYTES) {
      throw new BangerError(
        "unsupported",
        `Cannot store ${stored.length} extended attributes on a file: they do not fit in an ext4 block`,
      );
    }
    inBlock[largest] = moveOut(attribute);
  }
  return { inline, inBlock };
}
