/**
 * Marks the sockets of our own DNS server, so that the rules of a policy can tell it from whoever
 * else listens on the same address: setting a mark takes CAP_NET_ADMIN.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";

/** "bgnr". */
export const DNS_SOCKET_MARK = 0x62_67_6e_72;
const SOL_SOCKET = 1;
const SO_MARK = 36;

let libc: ReturnType<typeof load> | undefined;

/** Without the right it does nothing; then there are no policies to tell either. */
export function markSocket(fd: number): void {
  libc ??= load();
  const mark = Buffer.alloc(4);
  mark.writeUInt32LE(DNS_SOCKET_MARK);
  libc.symbols.setsockopt(fd, SOL_SOCKET, SO_MARK, ptr(mark), mark.length);
}

function load() {
  return dlopen("libc.so.6", {
    setsockopt: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
      returns: FFIType.i32,
    },
  });
}
