/**
 * System calls on files that the runtime does not offer: relative to a descriptor, on descriptors of paths alone, and
 * with the kernel's own confinement. Each gives its result, or the negative errno.
 */
import { dlopen, type FFIFunction, FFIType, read } from "bun:ffi";
import { constants } from "node:fs";
import { BangerError } from "#base/error.ts";

const { i32, i64, u32, u64, i64_fast } = FFIType;
const pointer = FFIType.ptr;

/** Numbers of system calls for which not every C library has a function. */
const NUMBERS = {
  x64: { statx: 332, getdents64: 217, openat2: 437 },
  arm64: { statx: 291, getdents64: 61, openat2: 437 },
};
const numbers = process.arch === "arm64" ? NUMBERS.arm64 : NUMBERS.x64;

const functions = {
  chmod: { args: [pointer, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  copy_file_range: { args: [i32, pointer, i32, pointer, u64, u32], returns: i64_fast },
  fallocate: { args: [i32, i32, i64, i64], returns: i32 },
  fchownat: { args: [i32, pointer, u32, u32, i32], returns: i32 },
  fdatasync: { args: [i32], returns: i32 },
  fstatfs: { args: [i32, pointer], returns: i32 },
  fsync: { args: [i32], returns: i32 },
  ftruncate: { args: [i32, i64], returns: i32 },
  linkat: { args: [i32, pointer, i32, pointer, i32], returns: i32 },
  lseek: { args: [i32, i64, i32], returns: i64_fast },
  mkdirat: { args: [i32, pointer, u32], returns: i32 },
  open: { args: [pointer, i32, u32], returns: i32 },
  pread: { args: [i32, pointer, u64, i64], returns: i64_fast },
  pwrite: { args: [i32, pointer, u64, i64], returns: i64_fast },
  readlinkat: { args: [i32, pointer, pointer, u64], returns: i64_fast },
  renameat2: { args: [i32, pointer, i32, pointer, u32], returns: i32 },
  symlinkat: { args: [pointer, i32, pointer], returns: i32 },
  truncate: { args: [pointer, i64], returns: i32 },
  unlinkat: { args: [i32, pointer, i32], returns: i32 },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
  __errno_location: { args: [], returns: pointer },
} as const;

/** Of syscall(2), one for each of the numbers. */
const numbered = {
  statx: { args: [i64, i32, pointer, i32, u32, pointer], returns: i64_fast },
  getdents64: { args: [i64, i32, pointer, u64], returns: i64_fast },
  openat2: { args: [i64, i32, pointer, pointer, u64], returns: i64_fast },
} as const;

type Value = number | bigint | Uint8Array;
type Call = (...values: readonly Value[]) => number | bigint;
type Name = Exclude<keyof typeof functions, "__errno_location">;

export const AT_FDCWD = -100;
export const AT_EMPTY_PATH = 0x1000;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_REMOVEDIR = 0x200;
export const O_PATH = 0o10000000;
export const O_CLOEXEC = 0o2000000;
const { O_NOFOLLOW } = constants;
const RESOLVE_NO_MAGICLINKS = 2n;
const RESOLVE_NO_SYMLINKS = 4n;
const RESOLVE_BENEATH = 8n;
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
const STATX_BASIC_AND_BIRTH = 0xfff;
const STATX_BYTES = 256;

const libraries = [
  "libc.so.6",
  `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`,
];

function load(symbols: Record<string, FFIFunction>): Record<string, Call> {
  for (const library of libraries) {
    try {
      return dlopen(library, symbols).symbols as unknown as Record<string, Call>;
    } catch {
      // Another library, or none.
    }
  }
  throw new BangerError("unsupported", "Cannot share directories: unknown C library");
}

const libc = load(functions);
const bySyscall = Object.fromEntries(
  Object.entries(numbered).map(([name, signature]) => [name, load({ syscall: signature }).syscall]),
) as Record<keyof typeof numbered, Call>;
/** One place for this thread, which is the only one that calls. */
const errnoAt = Number(libc.__errno_location?.());

function failed(): number {
  // biome-ignore lint/suspicious/noExplicitAny: the type of an address is a brand
  return -read.i32(errnoAt as any, 0);
}

/** For results that fit into a number. */
export function call(name: Name, ...values: readonly Value[]): number {
  const result = Number(libc[name]?.(...values));
  return result < 0 ? failed() : result;
}

/** For positions in directories, which have 63 bits. */
export function seekDirectory(fd: number, position: bigint): number {
  const result = libc.lseek?.(fd, position, 0) ?? -1;
  return typeof result === "number" && result < 0 ? failed() : 0;
}

/** As C has names: bytes, and a zero at the end. `name` is in latin1, so that it can be any bytes. */
export function cName(name: string): Uint8Array {
  return Buffer.from(`${name}\0`, "latin1");
}

export const EMPTY = cName("");

/** The kernel's name for an open descriptor, for calls that know paths only. It leads to that file, whatever it is called. */
export function descriptorPath(fd: number): Uint8Array {
  return cName(`/proc/self/fd/${fd}`);
}

const how = new BigUint64Array(3);
const howBytes = new Uint8Array(how.buffer);

/**
 * Opens one name in a directory, and nothing outside of it. With O_PATH a symlink is opened itself; otherwise a symlink
 * is ELOOP.
 */
export function openBeneath(
  directory: number,
  name: Uint8Array,
  { flags, mode = 0 }: { flags: number; mode?: number },
): number {
  how[0] = BigInt(flags | O_NOFOLLOW | O_CLOEXEC);
  how[1] = BigInt(mode);
  how[2] = RESOLVE;
  const result = Number(
    bySyscall.openat2(numbers.openat2, directory, name, howBytes, howBytes.length),
  );
  return result < 0 ? failed() : result;
}

export function listDirectory(fd: number, buffer: Uint8Array): number {
  const result = Number(bySyscall.getdents64(numbers.getdents64, fd, buffer, buffer.length));
  return result < 0 ? failed() : result;
}

/** struct statx of what a descriptor is of; or a negative errno. */
export function statusOf(fd: number): Uint8Array | number {
  const status = new Uint8Array(STATX_BYTES);
  const flags = AT_EMPTY_PATH;
  const result = Number(
    bySyscall.statx(numbers.statx, fd, EMPTY, flags, STATX_BASIC_AND_BIRTH, status),
  );
  return result < 0 ? failed() : status;
}
