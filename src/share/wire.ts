/**
 * The messages of FUSE, as the kernel of a machine sends them and as it is answered. Source: include/uapi/linux/fuse.h of
 * Linux, versions 7.23 and later.
 */
import { BangerError } from "#base/error.ts";

export const Op = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
} as const;

export const ROOT_ID = 1;
export const MAJOR = 7;
export const MINOR_MIN = 23;
export const MINOR_MAX = 38;
export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;
export const ENTRY_BYTES = 128;
/** Payload of one read or write. */
export const PAYLOAD_MAX_BYTES = 512 * 1024;
/** A write, with its headers. */
export const MESSAGE_MAX_BYTES = PAYLOAD_MAX_BYTES + 4096;

const InitFlag = {
  ASYNC_READ: 1 << 0,
  BIG_WRITES: 1 << 5,
  AUTO_INVAL_DATA: 1 << 12,
  DO_READDIRPLUS: 1 << 13,
  READDIRPLUS_AUTO: 1 << 14,
  PARALLEL_DIROPS: 1 << 18,
  MAX_PAGES: 1 << 22,
  CACHE_SYMLINKS: 1 << 23,
};
/** What is used of what the kernel offers. No cache of writes: the host's programs see them at once. */
const INIT_FLAGS = Object.values(InitFlag).reduce((all, flag) => all | flag, 0);
const MAX_BACKGROUND = 16;
const PAGE_BYTES = 4096;
/** How long the kernel may believe names and attributes: the host changes them too. */
const VALID_S = 1;

/** An error for the machine: its number. */
export class Fault extends Error {
  readonly errno: number;

  constructor(errno: number) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}

/** What no kernel sends. It ends the share. */
export class ProtocolError extends BangerError {
  constructor(what: string) {
    super("guest", `the machine sent ${what}`);
  }
}

/** The fields of a message, in order. A field that is not there is a `ProtocolError`. */
export class Reader {
  readonly #view: DataView;
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  /** An id or a handle that we have given. Others are none: 0. */
  id(): number {
    const value = this.u64();
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : 0;
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  /** Up to a zero byte, in latin1. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new ProtocolError("a name without an end");
    const value = this.#bytes.toString("latin1", this.#at, end);
    this.#at = end + 1;
    return value;
  }

  bytes(length: number): Buffer {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw new ProtocolError("a message too short");
    this.#at += length;
    return at;
  }
}

export interface Request {
  opcode: number;
  nodeId: number;
  uid: number;
  gid: number;
  unique: bigint;
  body: Reader;
}

/** Of a whole message. */
export function parseRequest(message: Buffer): Request {
  const header = new Reader(message, 4);
  const opcode = header.u32();
  const unique = header.u64();
  const nodeId = header.id();
  const uid = header.u32();
  const gid = header.u32();
  header.skip(8);
  return { opcode, nodeId, uid, gid, unique, body: header };
}

/** An answer with so many bytes of payload, and the place for them. */
export function answerTo(unique: bigint, payload_bytes: number): { message: Buffer; body: Buffer } {
  const message = Buffer.alloc(OUT_HEADER_BYTES + payload_bytes);
  message.writeUInt32LE(message.length, 0);
  message.writeBigUInt64LE(unique, 8);
  return { message, body: message.subarray(OUT_HEADER_BYTES) };
}

export function errorTo(unique: bigint, errno: number): Buffer {
  const { message } = answerTo(unique, 0);
  message.writeInt32LE(-errno, 4);
  return message;
}

const NOTIFY_INVAL_INODE = 2;

/** Tells the kernel not to believe what it knows of a node's attributes. Data follow them: AUTO_INVAL_DATA. */
export function forgetAttributes(nodeId: number): Buffer {
  const { message, body } = answerTo(0n, 24);
  message.writeInt32LE(NOTIFY_INVAL_INODE, 4);
  body.writeBigUInt64LE(BigInt(nodeId), 0);
  // No range of its data.
  body.writeBigInt64LE(-1n, 8);
  return message;
}

/** The same answer with the rest cut off that was not used. */
export function shortened(message: Buffer, payload_bytes: number): Buffer {
  const cut = message.subarray(0, OUT_HEADER_BYTES + payload_bytes);
  cut.writeUInt32LE(cut.length, 0);
  return cut;
}

/** The body of the answer to INIT; undefined for a kernel that is too old. */
export function initAnswer(body: Reader): Buffer | undefined {
  const major = body.u32();
  const minor = body.u32();
  if (major < MAJOR || (major === MAJOR && minor < MINOR_MIN)) return undefined;
  const readahead = body.u32();
  const flags = body.u32();
  const answer = Buffer.alloc(64);
  answer.writeUInt32LE(MAJOR, 0);
  // It sends another one in our version then.
  if (major > MAJOR) return answer;
  answer.writeUInt32LE(Math.min(minor, MINOR_MAX), 4);
  answer.writeUInt32LE(readahead, 8);
  answer.writeUInt32LE((flags & INIT_FLAGS) >>> 0, 12);
  answer.writeUInt16LE(MAX_BACKGROUND, 16);
  answer.writeUInt16LE((MAX_BACKGROUND * 3) / 4, 18);
  answer.writeUInt32LE(PAYLOAD_MAX_BYTES, 20);
  answer.writeUInt32LE(1, 24);
  answer.writeUInt16LE(PAYLOAD_MAX_BYTES / PAGE_BYTES, 28);
  return answer;
}

/** A view of struct statx. */
export class Status {
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get mode(): number {
    return this.#view.getUint16(28, true);
  }

  get inode(): bigint {
    return this.#view.getBigUint64(32, true);
  }

  get size_bytes(): bigint {
    return this.#view.getBigUint64(40, true);
  }

  get uid(): number {
    return this.#view.getUint32(20, true);
  }

  get gid(): number {
    return this.#view.getUint32(24, true);
  }

  /** What makes it this file and no other: device, inode and birth, since numbers are used again. */
  get key(): string {
    const device = `${this.#u32(136)}:${this.#u32(140)}`;
    return `${device}:${this.inode}:${this.#view.getBigInt64(80, true)}.${this.#u32(88)}`;
  }

  /** Another one when the data has changed. */
  get version(): string {
    const view = this.#view;
    return `${this.size_bytes}:${view.getBigInt64(112, true)}.${this.#u32(120)}`;
  }

  /** struct fuse_attr, 88 bytes. */
  writeTo(out: Buffer, at: number): void {
    out.writeBigUInt64LE(this.inode, at);
    out.writeBigUInt64LE(this.size_bytes, at + 8);
    out.writeBigUInt64LE(this.#view.getBigUint64(48, true), at + 16);
    for (const [index, from] of [64, 112, 96].entries()) {
      out.writeBigInt64LE(this.#view.getBigInt64(from, true), at + 24 + 8 * index);
      out.writeUInt32LE(this.#u32(from + 8), at + 48 + 4 * index);
    }
    out.writeUInt32LE(this.mode, at + 60);
    out.writeUInt32LE(this.#u32(16), at + 64);
    out.writeUInt32LE(this.uid, at + 68);
    out.writeUInt32LE(this.gid, at + 72);
    const minor = this.#u32(132);
    const device = (minor & 0xff) | (this.#u32(128) << 8) | ((minor & ~0xff) << 12);
    out.writeUInt32LE(device >>> 0, at + 76);
    out.writeUInt32LE(this.#u32(4), at + 80);
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
}

/** struct fuse_entry_out. Without a node: there is none of that name. */
export function writeEntry(
  out: Buffer,
  node: { id: number; status: Status } | undefined,
  at = 0,
): void {
  out.writeBigUInt64LE(BigInt(node?.id ?? 0), at);
  out.writeBigUInt64LE(BigInt(VALID_S), at + 16);
  out.writeBigUInt64LE(BigInt(VALID_S), at + 24);
  node?.status.writeTo(out, at + 40);
}

/** struct fuse_attr_out. */
export function attributesOf(status: Status): Buffer {
  const out = Buffer.alloc(104);
  out.writeBigUInt64LE(BigInt(VALID_S), 0);
  status.writeTo(out, 16);
  return out;
}
