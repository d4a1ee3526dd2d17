/** Runs a host program with a time limit, an output cap and a signal; never through a shell. */
import { onAbort, throwIfAborted } from "./abort.ts";
import { BangerError, errnoOf } from "./error.ts";
import { MiB } from "./size.ts";

const TIMEOUT_DEFAULT_MS = 60_000;
const OUTPUT_MAX_BYTES = 4 * MiB;

export interface RunOptions {
  /** Default 60,000. */
  timeout_ms?: number;
  /** Default 4 MiB for each of stdout and stderr; more ends the program. */
  outputMax_bytes?: number;
  stdin?: string | Uint8Array;
  cwd?: string;
  /** Added to the environment of this process. */
  env?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /**
   * For a program that starts others and cleans up behind itself: it gets a process group of its own, which
   * is sent SIGTERM when it is to end early, and SIGKILL this much later.
   */
  cleanup_ms?: number;
  /**
   * For work on foreign data: of this process's environment it has PATH only, and all that it starts ends
   * with it.
   */
  isApart?: boolean;
  /** Called with each chunk of stdout and stderr as it arrives. */
  onOutput?: (chunk: Uint8Array) => void;
}

export interface RunResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs `argv` and gives its output whatever its exit status. `not_found` when there is no such program. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  throwIfAborted(options.signal);
  const name = argv[0] ?? "";
  const timeout_ms = options.timeout_ms ?? TIMEOUT_DEFAULT_MS;
  const max = options.outputMax_bytes ?? OUTPUT_MAX_BYTES;
  const child = spawn(argv, options);
  let failure: BangerError | undefined;
  let insist: ReturnType<typeof setTimeout> | undefined;
  const end = (error: BangerError): void => {
    failure ??= error;
    if (options.isApart) signalGroup(child.pid, "SIGKILL");
    else if (options.cleanup_ms === undefined) child.kill("SIGKILL");
    else {
      signalGroup(child.pid, "SIGTERM");
      insist ??= setTimeout(() => signalGroup(child.pid, "SIGKILL"), options.cleanup_ms);
    }
  };
  const timer = setTimeout(
    () => end(new BangerError("timeout", `"${name}" timed out after ${timeout_ms} ms`)),
    timeout_ms,
  );
  const stop = (): void => end(new BangerError("cancelled", `cancelled while running "${name}"`));
  using _ = onAbort(options.signal, stop);
  try {
    const tooMuch = (): void =>
      end(new BangerError("limit_exceeded", `"${name}" printed more than ${max} bytes`));
    const [stdout, stderr, exitCode] = await Promise.all([
      collect(child.stdout, max, tooMuch, options.onOutput),
      collect(child.stderr, max, tooMuch, options.onOutput),
      child.exited,
    ]);
    if (failure) throw failure;
    return { exitCode, stdout, stderr };
  } finally {
    clearTimeout(timer);
    clearTimeout(insist);
    if (options.isApart) signalGroup(child.pid, "SIGKILL");
  }
}

/** Runs `argv` and gives its stdout; a non-zero exit is an error that carries the end of stderr. */
export async function runOk(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await run(argv, options);
  if (exitCode === 0) return stdout;
  const tail = (stderr.trim() || stdout.trim()).slice(-2000);
  throw new BangerError(
    "internal",
    `"${argv.join(" ")}" failed with exit status ${exitCode}: ${tail}`,
  );
}

/** The path of a program on PATH, undefined if there is none. Looks into the sbin folders as well. */
export function which(name: string): string | undefined {
  const path = `${process.env["PATH"] ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
  return Bun.which(name, { PATH: path }) ?? undefined;
}

function spawn(argv: readonly string[], options: RunOptions) {
  const program = which(argv[0] ?? "");
  if (!program) throw new BangerError("not_found", `Cannot run "${argv[0]}": command not found`);
  const stdin =
    typeof options.stdin === "string" ? new TextEncoder().encode(options.stdin) : options.stdin;
  try {
    return Bun.spawn([program, ...argv.slice(1)], {
      stdin: stdin ?? "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: options.isApart === true || options.cleanup_ms !== undefined,
      cwd: options.cwd,
      env: {
        ...(options.isApart ? { PATH: process.env["PATH"] } : process.env),
        LC_ALL: "C.UTF-8",
        ...options.env,
      },
    });
  } catch (error) {
    throw new BangerError("internal", `Cannot run "${argv[0]}": ${errnoOf(error) ?? error}`, {
      cause: error,
    });
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  max: number,
  tooMuch: () => void,
  onOutput: RunOptions["onOutput"],
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > max) {
      tooMuch();
      break;
    }
    onOutput?.(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
