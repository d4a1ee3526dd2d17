/**
 * Functions of the C library that the runtime does not offer. One policy for a library or a function that is not
 * there: what only saves time or room gives -1, like a system call that fails, and what is needed throws.
 */
import { dlopen, type FFIFunction, FFIType, ptr } from "bun:ffi";
import { BangerError } from "./error.ts";

const { i32, i64, u32, u64 } = FFIType;
const pointer = FFIType.ptr;

const needed = {
  bind: { args: [i32, pointer, u32], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
  ioctl: { args: [i32, u64, u64], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  lgetxattr: { args: [pointer, pointer, pointer, u64], returns: FFIType.i64_fast },
  memfd_create: { args: [pointer, u32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  socket: { args: [i32, i32, i32], returns: i32 },
  socketpair: { args: [i32, i32, i32, pointer], returns: i32 },
  sendto: { args: [i32, pointer, u64, i32, pointer, u32], returns: FFIType.i64_fast },
  close: { args: [i32], returns: i32 },
} as const;

const optional = {
  fallocate: { args: [i32, i32, i64, i64], returns: i32 },
  lseek: { args: [i32, i64, i32], returns: FFIType.i64_fast },
  posix_fadvise: { args: [i32, i64, i64, i32], returns: i32 },
  renameat2: { args: [i32, pointer, i32, pointer, u32], returns: i32 },
  sync_file_range: { args: [i32, i64, i64, u32], returns: i32 },
} as const;

type Name = keyof typeof needed | keyof typeof optional;
type Value = number | bigint | Uint8Array;
type Call = (...values: readonly Value[]) => number | bigint;

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const POSIX_FADV_DONTNEED = 4;
const SYNC_FILE_RANGE_WRITE = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/** flock(2): false when another open file, of this process or another, holds a lock that excludes this one. */
export function tryLock(fd: number, kind: "shared" | "exclusive" = "exclusive"): boolean {
  return call("flock", fd, (kind === "shared" ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0;
}

export function unlock(fd: number): void {
  call("flock", fd, LOCK_UN);
}

/** Gives blocks of a file back to the file system below it. Best effort: else the space stays taken. */
export function punchHole(fd: number, position: number, length: number): void {
  call("fallocate", fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, position, length);
}

/** Has the kernel begin to write a part of a file to the disk, so that waiting for all of it later is short. */
export function startWriteback(fd: number, position: number, length: number): void {
  call("sync_file_range", fd, position, length, SYNC_FILE_RANGE_WRITE);
}

/** Has the kernel give up the memory of a part of a file, as far as it is on the disk. */
export function dropPages(fd: number, position: number, length: number): void {
  call("posix_fadvise", fd, position, length, POSIX_FADV_DONTNEED);
}

/** The next data of a file at or after `position`; undefined at its end, and where that cannot be known. */
export function seekData(fd: number, position: number): number | undefined {
  return asOffset(call("lseek", fd, position, SEEK_DATA));
}

/** The next hole at or after `position`, or the end of the file. */
export function seekHole(fd: number, position: number): number | undefined {
  return asOffset(call("lseek", fd, position, SEEK_HOLE));
}

/** Swaps two paths in one step; false where the file system cannot. */
export function swapPaths(a: string, b: string): boolean {
  return call("renameat2", AT_FDCWD, text(a), AT_FDCWD, text(b), RENAME_EXCHANGE) === 0;
}

/** The value of an extended attribute; undefined where there is none, or it has more than `max_bytes`. */
export function readXattr(
  path: Uint8Array,
  { name, max_bytes }: { name: string; max_bytes: number },
): Uint8Array | undefined {
  const value = new Uint8Array(max_bytes);
  const size = call("lgetxattr", text(path), text(name), value, value.length);
  return size > 0 ? value.slice(0, size) : undefined;
}

/** A descriptor of memory with the flags of memfd_create(2); undefined when the kernel does not know one of them. */
export function createMemfd(name: string, flags: number): number | undefined {
  return asDescriptor(call("memfd_create", text(name), flags));
}

/** False when the kernel refuses. `argument`: a number, or what the request points to. */
export function ioctl(fd: number, request: number, argument: number | Uint8Array): boolean {
  const value = typeof argument === "number" ? argument : ptr(argument);
  return call("ioctl", fd, BigInt(request), BigInt(value)) === 0;
}

export function setSocketOption(
  fd: number,
  { level, option, value }: { level: number; option: number; value: Uint8Array },
): boolean {
  return call("setsockopt", fd, level, option, value, value.length) === 0;
}

/** The value of an option, of at most `max_bytes`; undefined where the socket has none. */
export function readSocketOption(
  fd: number,
  { level, option, max_bytes }: { level: number; option: number; max_bytes: number },
): Uint8Array | undefined {
  const value = new Uint8Array(max_bytes);
  const length = new Uint32Array([max_bytes]);
  const size = new Uint8Array(length.buffer);
  if (call("getsockopt", fd, level, option, value, size) !== 0) return undefined;
  return value.subarray(0, length[0]);
}

/** Two connected stream sockets. Undefined when there are no more descriptors. */
export function createSocketPair(): [number, number] | undefined {
  const pair = new Int32Array(2);
  const bytes = new Uint8Array(pair.buffer);
  if (call("socketpair", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bytes) !== 0) return undefined;
  return [pair[0] as number, pair[1] as number];
}

/** A socket that waits for connections at the address of the bytes of a sockaddr_un; undefined when the kernel refuses. */
export function listenAtUnixAddress(address: Uint8Array, backlog: number): number | undefined {
  const fd = asDescriptor(call("socket", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd === undefined) return undefined;
  if (call("bind", fd, address, address.length) === 0 && call("listen", fd, backlog) === 0)
    return fd;
  call("close", fd);
  return undefined;
}

/** Sends one datagram to a unix socket, by the bytes of its sockaddr_un. False when nobody took it. */
export function sendUnixDatagram(address: Uint8Array, data: Uint8Array): boolean {
  const fd = asDescriptor(call("socket", AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd === undefined) return false;
  const sent = call("sendto", fd, data, data.length, 0, address, address.length);
  call("close", fd);
  return sent === data.length;
}

const loaded = new Map<Name, Call | undefined>();

function call(name: Name, ...values: readonly Value[]): number {
  if (!loaded.has(name)) loaded.set(name, load(name));
  const found = loaded.get(name);
  if (found) return Number(found(...values));
  if (name in optional) return -1;
  throw new BangerError("unsupported", `Cannot call ${name}(): the C library does not have it`);
}

/** From glibc, or musl under the name that its loader has. */
function load(name: Name): Call | undefined {
  const signature: FFIFunction = { ...needed, ...optional }[name];
  const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
  for (const library of ["libc.so.6", `libc.musl-${arch}.so.1`]) {
    try {
      return dlopen(library, { [name]: signature }).symbols[name] as unknown as Call;
    } catch {
      // Another library, or none.
    }
  }
  return undefined;
}

/** Ends in a zero byte, as C has it. */
function text(value: string | Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(value), new Uint8Array(1)]);
}

function asOffset(result: number): number | undefined {
  return result < 0 ? undefined : result;
}

function asDescriptor(result: number): number | undefined {
  return result < 0 ? undefined : result;
}
