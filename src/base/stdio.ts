/**
 * The one place that writes to standard output and standard error. Bun.write() empties a file for an
 * empty text, writes a long one at the wrong place and to a non-blocking pipe twice; the streams of
 * `process` take longer to set up than a short command runs.
 */
import { write, writeSync } from "node:fs";
import { BangerError, errnoOf, messageOf } from "./error.ts";
import { terminalText } from "./printable.ts";

/** A descriptor that somebody else has made non-blocking is tried again after this, and then later and later. */
const RETRY_MIN_MS = 1;
const RETRY_MAX_MS = 50;

type Stream = "stdout" | "stderr";
type Writer = (data: string | Uint8Array) => Promise<void>;

const descriptors = { stdout: 1, stderr: 2 } as const;
const names = { stdout: "standard output", stderr: "standard error" } as const;
const tails: Record<Stream, Promise<unknown>> = {
  stdout: Promise.resolve(),
  stderr: Promise.resolve(),
};

/** Text loses every control sequence but colours on its way; bytes, such as a command's own output, go as they are. */
const encode = (data: string | Uint8Array): Uint8Array =>
  typeof data === "string" ? asIs(terminalText(data)) : data;

/** For sequences of ours that move the cursor; what is from elsewhere has to have gone through terminalText(). */
export function asIs(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Resolves when the bytes were taken, at the pace of the reader. Rejects with EPIPE when there is none any more. */
export const writeOut = makeWriter("stdout");
export const writeErr = makeWriter("stderr");

/** What is for people to read only: whether anybody does makes no difference. */
export function tell(text: string | Uint8Array): void {
  writeErr(text).catch(() => {});
}

/** Resolves when all that was written so far was taken or refused. */
export async function settled(): Promise<void> {
  await Promise.all(Object.values(tails));
}

/** At the end of the process, when nothing can be waited for any more. */
export function writeLast(stream: Stream, text: string): void {
  try {
    writeSync(descriptors[stream], text);
  } catch {
    // Nobody reads it.
  }
}

/** What is written at the same time comes out one after another. */
function makeWriter(stream: Stream): Writer {
  return async (data) => {
    const bytes = encode(data);
    const turn = tails[stream].then(() => writeAll(stream, bytes));
    tails[stream] = turn.catch(() => {});
    await turn;
  };
}

async function writeAll(stream: Stream, bytes: Uint8Array): Promise<void> {
  let wait_ms = RETRY_MIN_MS;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += await writeSome(descriptors[stream], bytes.subarray(at));
      wait_ms = RETRY_MIN_MS;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EPIPE") throw error;
      if (errno !== "EAGAIN" && errno !== "EINTR") throw failure(stream, error);
      await Bun.sleep(wait_ms);
      wait_ms = Math.min(wait_ms * 2, RETRY_MAX_MS);
    }
  }
}

/** Without a position the bytes go where the descriptor stands, or to the end if it was opened to append. */
function writeSome(fd: number, bytes: Uint8Array): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  write(fd, bytes, 0, bytes.length, null, (error, count) => {
    if (error) reject(error);
    else resolve(count);
  });
  return promise;
}

function failure(stream: Stream, cause: unknown): BangerError {
  const isFull = errnoOf(cause) === "ENOSPC";
  const why = isFull ? "no space left on device" : messageOf(cause);
  return new BangerError(
    isFull ? "no_space" : "internal",
    `Cannot write to ${names[stream]}: ${why}`,
    {
      cause,
    },
  );
}
