/** Commands in a machine: run until they exit, or interactive. */
import { constants } from "node:os";
import type { ExecExit, ExecRequest } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Connection } from "#sdk/connection.ts";
import type { ExecConnection } from "#sdk/exec.ts";
import type { ExecOptions, ExecResult, SpawnOptions, TerminalSize } from "#sdk/types.ts";
import { bytesOf, millisecondsOf } from "#sdk/units.ts";

const OUTPUT_MAX_BYTES = 64 * MiB;
const SIGNALS: Record<string, number> = constants.signals;

/** The machine a command runs in, and the connection to it. @internal */
export interface Target {
  connection: Connection;
  vm: string;
}

/** Runs a command until it exits. A nonzero status is a result, not an error. @internal */
export async function runCommand(
  { connection, vm }: Target,
  argv: readonly string[],
  options: ExecOptions,
): Promise<ExecResult> {
  const stdout = new Kept(options.onStdout);
  const stderr = new Kept(options.onStderr);
  const exec: ExecRequest = {
    argv: [...argv],
    env: options.env,
    cwd: options.cwd,
    user: options.user,
    stdin: options.stdin !== undefined,
    timeout_ms: millisecondsOf(options.timeout),
    outputMax_bytes: keptMax(options),
  };
  const stream = connection.open(
    { kind: "exec", vm, exec },
    { signal: options.signal, onStdout: stdout.take, onStderr: stderr.take },
  );
  if (options.stdin !== undefined) {
    const { stdin } = options;
    await stream.writeStdin(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
    stream.endStdin();
  }
  const { exitCode, signal } = exitOf(await stream.exited);
  return { exitCode, signal, stdout: stdout.text(), stderr: stderr.text() };
}

/** No limit if the caller consumes all of the output. */
function keptMax({ onStdout, onStderr, maxOutput }: ExecOptions): number | undefined {
  if (maxOutput === undefined && onStdout && onStderr) return undefined;
  return bytesOf(maxOutput) ?? OUTPUT_MAX_BYTES;
}

type OnBytes = ExecOptions["onStdout"];

class Kept {
  readonly #chunks: Uint8Array[] = [];
  readonly take: (bytes: Uint8Array) => void | Promise<void>;

  constructor(onBytes: OnBytes) {
    this.take = onBytes ?? ((bytes) => void this.#chunks.push(bytes));
  }

  text(): string {
    const decoder = new TextDecoder();
    const parts = this.#chunks.map((chunk) => decoder.decode(chunk, { stream: true }));
    return parts.join("") + decoder.decode();
  }
}

/** A running command. */
export class Process {
  readonly #stream: ExecConnection;
  /** Resolves to its exit status once all of its output is consumed. */
  readonly exited: Promise<{ exitCode: number; signal: string | undefined }>;

  /** @internal */
  constructor(stream: ExecConnection) {
    this.#stream = stream;
    this.exited = stream.exited.then(exitOf);
    // A caller that never awaits `exited` must not get an unhandled rejection.
    this.exited.catch(() => {});
  }

  /** @internal */
  static async start(
    { connection, vm }: Target,
    argv: readonly string[],
    options: SpawnOptions,
  ): Promise<Process> {
    const { env, cwd, user, terminal, signal, onStdout, onStderr } = options;
    const exec: ExecRequest = { argv: [...argv], env, cwd, user, terminal, stdin: true };
    const stream = connection.open(
      { kind: "exec", vm, exec },
      { signal, onStdout: onStdout ?? ignore, onStderr: onStderr ?? ignore },
    );
    await stream.started;
    return new Process(stream);
  }

  /** Resolves when the bytes are sent; to false if the command no longer reads stdin. */
  async write(data: string | Uint8Array): Promise<boolean> {
    return await this.#stream.writeStdin(
      typeof data === "string" ? new TextEncoder().encode(data) : data,
    );
  }

  /** Closes stdin after everything written so far. */
  end(): void {
    this.#stream.endStdin();
  }

  /** Sends a signal. `name` without "SIG", such as "INT". */
  kill(name = "TERM"): void {
    this.#stream.signal(name);
  }

  resize(size: TerminalSize): void {
    this.#stream.resize(size);
  }

  /** Closes the connection, which ends the command. */
  close(): void {
    this.#stream.close();
  }
}

function ignore(): void {}

function exitOf(exit: ExecExit): { exitCode: number; signal: string | undefined } {
  if ("code" in exit) return { exitCode: exit.code, signal: undefined };
  const number = SIGNALS[`SIG${exit.signal}`];
  if (number === undefined) {
    throw new BangerError("internal", `Cannot read the daemon's response: signal ${exit.signal}`);
  }
  return { exitCode: 128 + number, signal: exit.signal };
}
