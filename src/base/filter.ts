/** Decompression of whole byte arrays, by the runtime or by a host program. */
import { throwIfAborted } from "./abort.ts";
import { BangerError, messageOf } from "./error.ts";
import { which } from "./run.ts";

/** Package that holds a program, where it is not named like it. */
const packages: Record<string, string> = { xz: "xz-utils" };

/** The runtime knows it, the types of the web platform do not yet. */
const ZSTD: string = "zstd";

export interface FilterOptions {
  /** More output than this ends the program. */
  max_bytes: number;
  signal?: AbortSignal | undefined;
}

/** `unsupported` with the package to install, `integrity` when the program refuses the input. */
export async function filterBytes(
  argv: readonly string[],
  input: Uint8Array,
  options: FilterOptions,
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

/** `integrity` for what is no whole zstd frame. */
export async function unzstd(input: Uint8Array, options: FilterOptions): Promise<Uint8Array> {
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

/** Leaving the loop early cancels the stream. */
async function collect(
  stream: AsyncIterable<Uint8Array>,
  options: FilterOptions,
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
