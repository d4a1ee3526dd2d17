/**
 * A session's output on the host's disk: files named after the offset of their first byte, so that the
 * next offset is known from names and sizes alone, whenever a daemon was killed. The oldest go when there
 * are too many; a new one begins where output is missing in between.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";

const SEGMENT_BYTES = 8 * MiB;
const MAX_SEGMENTS = 8;
const READ_BYTES = 256 * 1024;
const OFFSET_DIGITS = 16;
const PREFIX = "output.";

interface Segment {
  start: number;
  size: number;
}

export interface LogChunk {
  offset: number;
  bytes: Uint8Array;
}

export class SessionLog {
  readonly #folder: string;
  readonly #segments: Segment[];
  #fd: number | undefined;
  #grown = Promise.withResolvers<void>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#segments = readdirSync(folder)
      .filter((name) => name.startsWith(PREFIX))
      .map((name) => ({
        start: Number(name.slice(PREFIX.length)),
        size: statSync(join(folder, name)).size,
      }))
      .filter(({ start }) => Number.isSafeInteger(start))
      .sort((a, b) => a.start - b.start);
  }

  /** Of what is kept; there may be gaps in between. */
  get start(): number {
    return this.#segments[0]?.start ?? 0;
  }

  get end(): number {
    const last = this.#segments.at(-1);
    return last ? last.start + last.size : 0;
  }

  /** Bytes before `end` that never came. */
  get missing_bytes(): number {
    return this.#segments.reduce((sum, { start }, index) => {
      const before = this.#segments[index - 1];
      return before ? sum + start - before.start - before.size : sum;
    }, 0);
  }

  /** Resolves when something is added, or `wake` is called. */
  get grown(): Promise<void> {
    return this.#grown.promise;
  }

  wake(): void {
    this.#grown.resolve();
    this.#grown = Promise.withResolvers();
  }

  /** What is there already is not added again. */
  append({ offset, bytes }: LogChunk): void {
    const fresh = bytes.subarray(Math.max(0, this.end - offset));
    const from = offset + bytes.length - fresh.length;
    if (fresh.length === 0) return;
    let last = this.#segments.at(-1);
    if (!last || from !== this.end || last.size >= SEGMENT_BYTES) last = this.#begin(from);
    this.#fd ??= openSync(this.#pathOf(last.start), "a", 0o600);
    for (let at = 0; at < fresh.length; ) {
      const count = writeSync(this.#fd, fresh, at, fresh.length - at);
      at += count;
      last.size += count;
    }
    this.wake();
  }

  /** The next bytes that are kept, from `offset` or later on; undefined where there are none. */
  read(offset: number): LogChunk | undefined {
    const segment = this.#segments.find(({ start, size }) => start + size > offset);
    if (!segment) return undefined;
    const from = Math.max(offset, segment.start);
    const bytes = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, segment.start + segment.size - from));
    const fd = openSync(this.#pathOf(segment.start), "r");
    try {
      const count = readSync(fd, bytes, 0, bytes.length, from - segment.start);
      return { offset: from, bytes: bytes.subarray(0, count) };
    } finally {
      closeSync(fd);
    }
  }

  /** Where the last `count` lines begin; a line that is not whole yet counts as one. */
  startOfLast(count: number): number {
    if (count === 0) return this.end;
    // Behind each newline but one that is the very last byte.
    const starts = [this.start];
    for (let at = this.start, chunk = this.read(at); chunk; chunk = this.read(at)) {
      const { offset, bytes } = chunk;
      for (let found = bytes.indexOf(10); found >= 0; found = bytes.indexOf(10, found + 1)) {
        const next = offset + found + 1;
        if (next < this.end) starts.push(next);
        if (starts.length > count) starts.shift();
      }
      at = offset + bytes.length;
    }
    return starts[0] ?? this.end;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #begin(start: number): Segment {
    this.close();
    const segment = { start, size: 0 };
    this.#fd = openSync(this.#pathOf(start), "ax", 0o600);
    segment.size = fstatSync(this.#fd).size;
    this.#segments.push(segment);
    while (this.#segments.length > MAX_SEGMENTS) {
      const oldest = this.#segments.shift();
      if (oldest) rmSync(this.#pathOf(oldest.start), { force: true });
    }
    return segment;
  }

  #pathOf(start: number): string {
    return join(this.#folder, PREFIX + String(start).padStart(OFFSET_DIGITS, "0"));
  }
}
