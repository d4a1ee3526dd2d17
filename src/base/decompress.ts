/** Decompresses streams and whole byte arrays, with the runtime or with a host program. */
import type { Gunzip } from "node:zlib";
import { throwIfAborted } from "./abort.ts";
import { BangerError, messageOf } from "./error.ts";
import { which } from "./run.ts";

/** Debian packages whose name differs from the program's. */
const packages: Record<string, string> = { xz: "xz-utils" };

/** Supported by the runtime; missing from the types. */
const ZSTD: string = "zstd";

export interface DecompressOptions {
  /** Limit of the output. */
  max_bytes: number;
  signal?: AbortSignal | undefined;
}

/** Runs `input` through a host program. `unsupported` if it is not installed, `integrity` if it fails. */
export async function filterBytes(
  argv: readonly string[],
  input: Uint8Array,
  options: DecompressOptions,
): Promise<Uint8Array> {
  const name = argv[0] ?? "";
  const program = which(name);
  if (!program) {
    throw new BangerError("unsupported", `Cannot unpack: "${name}" is not installed`, {
      hint: `sudo apt-get install ${packages[name] ?? name}`,
    });
  }
  const child = Bun.spawn([program, ...argv.slice(1)], {
    stdin: input,
    stdout: "pipe",
    stderr: "pipe",
    killSignal: "SIGKILL",
    signal: options.signal,
  });
  try {
    const output = await collect(child.stdout, options);
    const stderr = await new Response(child.stderr).text();
    throwIfAborted(options.signal);
    if ((await child.exited) === 0) return output;
    throw new BangerError("integrity", `Cannot unpack: ${stderr.trim().slice(0, 500)}`);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

/** `integrity` for anything but complete zstd frames. */
export async function unzstd(input: Uint8Array, options: DecompressOptions): Promise<Uint8Array> {
  const stream = new Blob([Uint8Array.from(input)])
    .stream()
    .pipeThrough(new DecompressionStream(ZSTD as CompressionFormat));
  try {
    return await collect(stream, options);
  } catch (cause) {
    if (cause instanceof BangerError) throw cause;
    throw new BangerError("integrity", `Cannot unpack: ${messageOf(cause)}`, { cause });
  }
}

/** Pipes `source` through a decompressor with back-pressure. `integrity` for corrupt data; an error of `source` is passed on. */
export async function* decompress(
  stream: Gunzip,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let sourceFailure: { error: unknown } | undefined;
  const feeding = feed(stream, source).catch((error: unknown) => {
    sourceFailure = { error };
    stream.destroy(error instanceof Error ? error : new Error(messageOf(error)));
  });
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
    await feeding;
    if (sourceFailure) throw sourceFailure.error;
  } catch (error) {
    if (sourceFailure) throw sourceFailure.error;
    if (error instanceof BangerError || !isCorruption(error)) throw error;
    throw new BangerError("integrity", `corrupt compressed data: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    stream.destroy();
    await feeding;
  }
}

async function feed(
  stream: Gunzip,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  for await (const chunk of source) {
    if (stream.destroyed) return;
    if (!stream.write(chunk)) await drained(stream);
  }
  stream.end();
}

/** Resolves when the stream takes more, or is closed. */
function drained(stream: Gunzip): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
    if (stream.destroyed) done();
  });
}

/** Whether a decompressor has rejected its input: the codes of zlib and zstd, and the runtime's for a truncated one. */
export function isCorruption(error: unknown): error is Error & { code: string } {
  return error instanceof Error && "code" in error && /^(Z_|ZSTD_|ERR_)/.test(String(error.code));
}

/** Leaving the loop early cancels the stream. */
async function collect(
  stream: AsyncIterable<Uint8Array>,
  options: DecompressOptions,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    throwIfAborted(options.signal);
    size += chunk.length;
    if (size > options.max_bytes) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot unpack: more than ${options.max_bytes} bytes`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
