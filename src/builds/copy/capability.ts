/** File capabilities of the context, as setcap(8) sets them: the one attribute that layers of images have of it. */
import { dlopen, FFIType } from "bun:ffi";
import type { Xattr } from "#ext4/attributes.ts";

const NAME = Buffer.from("security.capability\0");
/** struct vfs_ns_cap_data is 24 bytes. */
const VALUE_MAX_BYTES = 64;

let opened:
  | ((path: Uint8Array, name: Uint8Array, value: Uint8Array, size: number) => number)
  | undefined;

/** None where the file has none, or its file system knows no attributes. */
export function capabilityOf(path: Uint8Array): Xattr[] {
  const value = new Uint8Array(VALUE_MAX_BYTES);
  const size = Number(
    lgetxattr()(Buffer.concat([path, new Uint8Array(1)]), NAME, value, value.length),
  );
  return size > 0 ? [{ name: NAME.subarray(0, -1), value: value.slice(0, size) }] : [];
}

function lgetxattr() {
  opened ??= dlopen("libc.so.6", {
    lgetxattr: {
      args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.u64],
      returns: FFIType.i64_fast,
    },
  }).symbols.lgetxattr as NonNullable<typeof opened>;
  return opened;
}
