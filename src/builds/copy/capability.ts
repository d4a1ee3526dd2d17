/** File capabilities in the build context, as set by setcap(8): the only extended attribute that is copied. */
import { readXattr } from "#base/libc.ts";
import type { Xattr } from "#ext4/attributes.ts";

const NAME = "security.capability";
/** struct vfs_ns_cap_data is 24 bytes. */
const VALUE_MAX_BYTES = 64;

/** Empty if the file has none, or the file system does not support extended attributes. */
export function capabilityOf(path: Uint8Array): Xattr[] {
  const value = readXattr(path, { name: NAME, max_bytes: VALUE_MAX_BYTES });
  return value ? [{ name: Buffer.from(NAME), value }] : [];
}
