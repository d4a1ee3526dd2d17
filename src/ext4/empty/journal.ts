/** The first block of an empty JBD2 journal, big-endian. Source: Documentation/filesystems/ext4 ("Journal"). */
import { BLOCK_BYTES } from "#ext4/format.ts";

const MAGIC = 0xc03b3998;
const SUPERBLOCK_V2 = 4;

/** The bytes of it that are not zero. `blocks`: the journal's length, at least 1024. */
export function makeJournalSuperblock(blocks: number, uuid: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1024);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, SUPERBLOCK_V2);
  view.setUint32(12, BLOCK_BYTES);
  view.setUint32(16, blocks);
  view.setUint32(20, 1);
  view.setUint32(24, 1);
  bytes.set(uuid, 48);
  view.setUint32(64, 1);
  return bytes;
}
