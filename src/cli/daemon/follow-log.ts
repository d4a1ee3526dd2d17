/** Follows a log file, across rotation. */
import { mkdirSync, watch } from "node:fs";
import { dirname } from "node:path";
import { onAbort } from "#base/abort.ts";
import { MiB } from "#base/size.ts";

const LINE_MAX_BYTES = MiB;

interface FollowOptions {
  /** Byte to begin at. */
  from: number;
  signal: AbortSignal;
}

/** Ends by throwing the signal's reason. */
export async function* followLines(path: string, options: FollowOptions): AsyncGenerator<string> {
  const { signal } = options;
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  let changed = Promise.withResolvers<void>();
  const ring = (): void => changed.resolve();
  // The folder, since the file may not be there yet.
  const watcher = watch(folder, ring);
  using _ = onAbort(signal, ring);
  const decoder = new TextDecoder();
  let position = options.from;
  let held = "";
  try {
    for (;;) {
      signal.throwIfAborted();
      const file = Bun.file(path);
      const size = (await file.exists()) ? file.size : 0;
      if (size < position) position = 0;
      if (size > position) {
        const bytes = await file.slice(position, Math.min(size, position + MiB)).bytes();
        position += bytes.length;
        const lines = (held + decoder.decode(bytes, { stream: true })).split("\n");
        held = (lines.pop() ?? "").slice(0, LINE_MAX_BYTES);
        yield* lines;
        continue;
      }
      await changed.promise;
      changed = Promise.withResolvers();
    }
  } finally {
    watcher.close();
  }
}
