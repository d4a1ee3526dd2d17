/** File capabilities of the context, as setcap(8) sets them: the one attribute that layers of images have of it. */
import { readXattr } from "#base/libc.ts";
import type { Xattr } from "#ext4/attributes.ts";

const NAME = "security.capability";
/** struct vfs_ns_cap_data is 24 bytes. */
const VALUE_MAX_BYTES = 64;

/** None where the file has none, or its file system knows no attributes. */
export function capabilityOf(path: Uint8Array): Xattr[] {
  const value = readXattr(path, { name: NAME, max_bytes: VALUE_MAX_BYTES });
  return value ? [{ name: Buffer.from(NAME), value }] : [];
}
