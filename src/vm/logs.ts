/** A machine's console log as a client reads it: the end of the file, then what is appended. */
import { closeSync, existsSync, fstatSync, openSync, readSync, watch } from "node:fs";
import { onAbort } from "#base/abort.ts";
import { KiB, MiB } from "#base/size.ts";

const CHUNK_BYTES = 64 * KiB;
/** Without `tail`, this much of the end is shown. */
const SHOWN_MAX_BYTES = 4 * MiB;

export interface LogOptions {
  /** The last lines only; default: as much as SHOWN_MAX_BYTES. */
  tail?: number | undefined;
  follow?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Ends a `follow`: the machine will print no more. */
  ended?: Promise<unknown> | undefined;
}

export async function* readLog(
  path: string,
  options: LogOptions,
): AsyncGenerator<{ text: string }> {
  if (!existsSync(path)) return;
  const fd = openSync(path, "r");
  const change = makeBell();
  const watcher = options.follow ? watch(path, change.ring) : undefined;
  let isOver = options.follow !== true;
  void options.ended?.then(() => {
    isOver = true;
    change.ring();
  });
  using _ = onAbort(options.signal, change.ring);
  const decoder = new TextDecoder();
  try {
    let position = startOf(fd, options.tail);
    for (;;) {
      // Asked before reading, so that what was printed last is still read.
      const isLast = isOver;
      for (const chunk of chunksFrom(fd, position)) {
        position += chunk.length;
        yield { text: decoder.decode(chunk, { stream: true }) };
      }
      if (isLast || options.signal?.aborted) return;
      await change.next();
    }
  } finally {
    watcher?.close();
    closeSync(fd);
  }
}

/** Where the last `lines` lines begin, looking back no further than SHOWN_MAX_BYTES. */
function startOf(fd: number, lines: number | undefined): number {
  const { size } = fstatSync(fd);
  const from = Math.max(0, size - SHOWN_MAX_BYTES);
  if (lines === undefined) return from;
  const buffer = new Uint8Array(size - from);
  const length = readSync(fd, buffer, 0, buffer.length, from);
  return from + length - lastLines(buffer.subarray(0, length), lines).length;
}

export function lastLines(bytes: Uint8Array, lines: number): Uint8Array {
  let start = bytes.length;
  // The newline that ends the last line begins none.
  for (let left = lines; left > 0 && start > 0; left--) {
    start = start < 2 ? 0 : bytes.lastIndexOf(10, start - 2) + 1;
  }
  return bytes.subarray(start);
}

function* chunksFrom(fd: number, from: number): Generator<Uint8Array> {
  for (let position = from; ; ) {
    const buffer = new Uint8Array(CHUNK_BYTES);
    const length = readSync(fd, buffer, 0, buffer.length, position);
    if (length === 0) return;
    yield buffer.subarray(0, length);
    position += length;
  }
}

/** Something to wait for that may ring while nobody waits. */
function makeBell() {
  let waiting = Promise.withResolvers<void>();
  return {
    ring: () => waiting.resolve(),
    async next(): Promise<void> {
      await waiting.promise;
      waiting = Promise.withResolvers();
    },
  };
}
