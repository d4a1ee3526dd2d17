/**
 * A streaming tar parser: ustar, PAX, GNU and v7 entries with names as raw bytes. One state machine that accepts
 * chunks of any size and calls its handler; it does not copy file data.
 */

import { MiB } from "#base/size.ts";
import {
  keepNames,
  makeEntry,
  shown,
  TAR_NAME_MAX_BYTES,
  type TarEntry,
  type TarOverrides,
} from "./entry.ts";
import { isZeroBlock, parseHeader, TAR_BLOCK_BYTES, type TarHeader, tarError } from "./header.ts";
import { type PaxFields, parsePax } from "./pax.ts";
import {
  checkParts,
  oldRealSize,
  readOldParts,
  SparseMapReader,
  type SparsePart,
} from "./sparse.ts";

export interface TarHandler {
  entry(entry: TarEntry): void;
  /** The next bytes of a file's data; those between the parts of a sparse file are left out. */
  data(bytes: Uint8Array, offset: number): void;
  /** After the last data of a file. Not called for other entries. */
  end(): void;
}

const PAX_MAX_BYTES = MiB;
const VOLUME_LABEL = 0x56;
const DUMP_DIRECTORY = 0x44;
const OLD_SPARSE = 0x53;
const NO_OVERRIDES = { longName: undefined, longLinkName: undefined };

type MetaKind = "pax" | "global" | "name" | "linkName";

type State =
  | { kind: "header" }
  | { kind: "meta"; meta: MetaKind; body: Uint8Array; filled: number; padding: number }
  | { kind: "extension" }
  | { kind: "map"; reader: SparseMapReader }
  | { kind: "data"; left: number; padding: number }
  | { kind: "skip"; left: number }
  | { kind: "done" };

/** A file whose data is to come. */
interface OpenFile {
  entry: TarEntry;
  data_bytes: number;
  parts: SparsePart[] | undefined;
  part: number;
  /** Bytes of the present part, or of the file, that came. */
  done: number;
}

export class TarReader {
  readonly #handler: TarHandler;
  readonly #block = new Uint8Array(TAR_BLOCK_BYTES);
  #filled = 0;
  #state: State = { kind: "header" };
  #over: TarOverrides = { ...NO_OVERRIDES, pax: {}, global: {} };
  /** An extended header came whose entry has not. */
  #isPending = false;
  #file: OpenFile | undefined;
  /** The skipped bytes are more than padding. */
  #isInBody = false;
  #position = 0;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const used = this.#take(chunk, at);
      at += used;
      this.#position += used;
    }
  }

  /** Nothing after this belongs to the archive. */
  get isDone(): boolean {
    return this.#state.kind === "done";
  }

  /** Bytes of file data that come next. */
  get dataLeft_bytes(): number {
    return this.#state.kind === "data" ? this.#state.left : 0;
  }

  /**
   * For archives that are read in place: passes over up to `available` bytes of data or padding that come next, and
   * gives how many, 0 where a header comes. The handler is not given data; skip the whole data of a file, or none.
   */
  skip(available: number): number {
    const state = this.#state;
    if (state.kind !== "data" && state.kind !== "skip") return 0;
    const count = Math.min(state.left, available);
    state.left -= count;
    this.#position += count;
    if (state.left > 0) return count;
    if (state.kind === "data") this.#endFile(state.padding);
    else this.#skip(0);
    return count;
  }

  /** The archive is over; throws when it was cut short. The last file's padding and the end may be missing. */
  finish(): void {
    const { kind } = this.#state;
    const rest = this.#block.subarray(0, this.#filled);
    const isBetween = kind === "skip" || (kind === "header" && rest.every((byte) => byte === 0));
    if (isBetween && !this.#isPending && !this.#isInBody) return;
    if (this.#state.kind === "done") return;
    throw tarError(`the archive ends early, after ${this.#position} bytes`);
  }

  /** Handles some bytes of the chunk from `at` on and tells how many. */
  #take(chunk: Uint8Array, at: number): number {
    const state = this.#state;
    const available = chunk.length - at;
    switch (state.kind) {
      case "done":
        return available;
      case "skip": {
        const count = Math.min(state.left, available);
        state.left -= count;
        if (state.left === 0) this.#skip(0);
        return count;
      }
      case "data": {
        const count = Math.min(state.left, available);
        this.#data(chunk.subarray(at, at + count));
        state.left -= count;
        if (state.left === 0) this.#endFile(state.padding);
        return count;
      }
      case "meta": {
        const count = Math.min(state.body.length - state.filled, available);
        state.body.set(chunk.subarray(at, at + count), state.filled);
        state.filled += count;
        if (state.filled === state.body.length) this.#endMeta(state);
        return count;
      }
      default:
        return this.#takeBlock(chunk, at);
    }
  }

  #takeBlock(chunk: Uint8Array, at: number): number {
    if (this.#filled === 0 && chunk.length - at >= TAR_BLOCK_BYTES) {
      this.#onBlock(chunk.subarray(at, at + TAR_BLOCK_BYTES));
      return TAR_BLOCK_BYTES;
    }
    const count = Math.min(TAR_BLOCK_BYTES - this.#filled, chunk.length - at);
    this.#block.set(chunk.subarray(at, at + count), this.#filled);
    this.#filled += count;
    if (this.#filled === TAR_BLOCK_BYTES) {
      this.#filled = 0;
      this.#onBlock(this.#block);
    }
    return count;
  }

  #onBlock(block: Uint8Array): void {
    const state = this.#state;
    if (state.kind === "extension") this.#onExtension(block);
    else if (state.kind === "map") this.#onMap(state.reader, block);
    else this.#onHeader(block);
  }

  #onHeader(block: Uint8Array): void {
    if (block[0] === 0 && isZeroBlock(block)) {
      this.#state = { kind: "done" };
      if (this.#isPending) throw tarError("the archive ends after an extended header");
      return;
    }
    const header = parseHeader(block);
    const meta = metaKind(header.type);
    if (meta) this.#beginMeta(meta, header.size);
    else if (header.type === VOLUME_LABEL) this.#skip(padded(header.size), true);
    else this.#onEntry(header, block);
  }

  #beginMeta(meta: MetaKind, size: number): void {
    const max = meta === "pax" || meta === "global" ? PAX_MAX_BYTES : TAR_NAME_MAX_BYTES + 1;
    if (size < 0 || size > max) {
      throw tarError(`an extended header of ${size} bytes is longer than ${max}`);
    }
    if (size === 0) return;
    const padding = padded(size) - size;
    this.#state = { kind: "meta", meta, body: new Uint8Array(size), filled: 0, padding };
  }

  #endMeta(state: State & { kind: "meta" }): void {
    const { body } = state;
    this.#isPending ||= state.meta !== "global";
    if (state.meta === "pax") parsePax(body, this.#over.pax);
    else if (state.meta === "global") parsePax(body, this.#over.global, true);
    else if (state.meta === "name") this.#over.longName = untilZero(body);
    else this.#over.longLinkName = untilZero(body);
    this.#skip(state.padding);
  }

  #skip(left: number, isInBody = false): void {
    this.#isInBody = isInBody && left > 0;
    this.#state = left > 0 ? { kind: "skip", left } : { kind: "header" };
  }

  #onEntry(header: TarHeader, block: Uint8Array): void {
    const entry = makeEntry(header, this.#over);
    const { size: stored, sparse } = this.#over.pax;
    if (this.#isPending) {
      this.#over = { ...NO_OVERRIDES, pax: {}, global: this.#over.global };
      this.#isPending = false;
    }
    if (entry.type !== "file") {
      this.#handler.entry(entry);
      // Only a dump directory has a body; a size on any other entry says nothing of what follows.
      if (header.type === DUMP_DIRECTORY) this.#skip(padded(stored ?? header.size), true);
      return;
    }
    this.#file = { entry, data_bytes: entry.size, parts: undefined, part: 0, done: 0 };
    if (header.type === OLD_SPARSE) this.#beginOldSparse(block);
    else if (sparse) this.#beginPaxSparse(sparse);
    else this.#beginData(entry.size);
  }

  #beginOldSparse(block: Uint8Array): void {
    const file = this.#file as OpenFile;
    file.parts = [];
    file.entry.size = oldRealSize(block);
    if (readOldParts(block, file.parts, "header")) this.#keepForExtension(file);
    else this.#beginData(file.data_bytes);
  }

  /** The header's block may be gone before the entry is told, so its names are copied. */
  #keepForExtension(file: OpenFile): void {
    keepNames(file.entry);
    this.#state = { kind: "extension" };
  }

  #onExtension(block: Uint8Array): void {
    const file = this.#file as OpenFile;
    if (!readOldParts(block, file.parts ?? [], "extension")) this.#beginData(file.data_bytes);
  }

  #beginPaxSparse(sparse: NonNullable<PaxFields["sparse"]>): void {
    const file = this.#file as OpenFile;
    file.entry.size = sparse.realSize ?? file.data_bytes;
    if (sparse.major === 1) {
      keepNames(file.entry);
      this.#state = { kind: "map", reader: new SparseMapReader() };
    } else {
      file.parts = sparse.parts;
      this.#beginData(file.data_bytes);
    }
  }

  #onMap(reader: SparseMapReader, block: Uint8Array): void {
    const file = this.#file as OpenFile;
    file.data_bytes -= TAR_BLOCK_BYTES;
    if (file.data_bytes < 0) throw tarError(`${shown(file.entry.name)} has a malformed sparse map`);
    file.parts = reader.push(block);
    if (file.parts) this.#beginData(file.data_bytes);
  }

  #beginData(stored: number): void {
    const file = this.#file as OpenFile;
    if (file.parts) {
      file.parts = checkParts(file.parts, { size: file.entry.size, data_bytes: stored });
    }
    this.#handler.entry(file.entry);
    if (stored === 0) this.#endFile(0);
    else this.#state = { kind: "data", left: stored, padding: padded(stored) - stored };
  }

  #data(bytes: Uint8Array): void {
    const file = this.#file as OpenFile;
    if (!file.parts) {
      this.#handler.data(bytes, file.done);
      file.done += bytes.length;
      return;
    }
    let at = 0;
    while (at < bytes.length) {
      const part = file.parts[file.part] as SparsePart;
      const count = Math.min(part.length - file.done, bytes.length - at);
      this.#handler.data(bytes.subarray(at, at + count), part.offset + file.done);
      at += count;
      file.done += count;
      if (file.done === part.length) {
        file.part++;
        file.done = 0;
      }
    }
  }

  #endFile(padding: number): void {
    this.#file = undefined;
    this.#handler.end();
    this.#skip(padding);
  }
}

function metaKind(type: number): MetaKind | undefined {
  switch (String.fromCharCode(type)) {
    case "x":
    case "X":
      return "pax";
    case "g":
      return "global";
    case "L":
      return "name";
    case "K":
      return "linkName";
    default:
      return undefined;
  }
}

function padded(size: number): number {
  return Math.ceil(size / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
}

function untilZero(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}
