/** A process in the guest, as a stream of the host. */
import { constants } from "node:os";
import { onAbort, throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Connection } from "./connection.ts";
import { type Fields, FieldWriter } from "./fields.ts";
import { CHANNEL_ERR, Kind, MAX_OPEN_BYTES, Tag } from "./protocol.ts";
import type { Stream } from "./stream.ts";

const WINDOW_DEFAULT_BYTES = MiB;
const MAX_TERMINAL_SIDE = 0xffff;

export interface TerminalSize {
  columns: number;
  rows: number;
}

export interface ExecRequest {
  /** Run as it is, with no shell; the program is looked for on the PATH of `env`. */
  argv: readonly string[];
  /** On top of the image's environment. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Default "/"; "~" is the user's home. */
  cwd?: string | undefined;
  /** Make the folders of `cwd` that are missing, for root. */
  makesCwd?: boolean | undefined;
  /** "name", "1000", "name:group" or "1000:1000", as the guest knows them; default root. */
  user?: string | undefined;
  /** With a terminal of this size, where stdout carries everything. */
  tty?: TerminalSize | undefined;
  /** Default false: stdin is /dev/null. A terminal always has input. */
  stdin?: boolean | undefined;
  /** How much output may come before the first grant. Default 1 MiB. */
  window_bytes?: number | undefined;
}

/** `signal` is a name such as "SIGTERM". */
export type ExitStatus = { code: number } | { signal: string };

/**
 * A running process. Output comes as far as it was granted: whoever has consumed n bytes of stdout
 * or stderr calls `grant(n)`.
 */
export interface ExecStream {
  readonly pid: number;
  /** Calls with what has come and will come; the chunk is the listener's to keep. */
  onStdout(listener: (chunk: Uint8Array) => void): void;
  onStderr(listener: (chunk: Uint8Array) => void): void;
  grant(bytes: number): void;
  /** Resolves when more may be written. What the process does not take any more is dropped. */
  writeStdin(bytes: Uint8Array): Promise<void>;
  /** To a terminal it sends ^D. */
  closeStdin(): Promise<void>;
  resize(size: TerminalSize): void;
  /** To the process group: "SIGINT" or "INT". Fails with `invalid_argument` for an unknown name. */
  signal(name: string): void;
  /** After the last byte of output. Rejects when the connection is lost, or `close` was called. */
  readonly exited: Promise<ExitStatus>;
  /** Hangs the process up, and kills it if that does not end it. */
  close(): void;
}

export async function openExec(
  connection: Connection,
  request: ExecRequest,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ExecStream> {
  throwIfAborted(options.signal);
  const window_bytes = request.window_bytes ?? WINDOW_DEFAULT_BYTES;
  const stream = connection.open(encodeExecRequest(request, window_bytes), window_bytes);
  const caller = onAbort(options.signal, () => stream.close(closed()));
  const forget = (): void => caller[Symbol.dispose]();
  void stream.ended.then(forget, forget);
  const opened = await stream.opened;
  return execStream(stream, opened.number(Tag.pid) ?? 0);
}

function execStream(stream: Stream, pid: number): ExecStream {
  const stdout = new Output();
  const stderr = new Output();
  stream.handle({
    onData: (channel, chunk) => (channel === CHANNEL_ERR ? stderr : stdout).push(chunk),
    onEof: () => {},
  });
  const exited = stream.ended.then(decodeExit);
  exited.catch(() => {});
  return {
    pid,
    exited,
    onStdout: (listener) => stdout.listen(listener),
    onStderr: (listener) => stderr.listen(listener),
    grant: (bytes) => stream.grant(bytes),
    writeStdin: (bytes) => stream.write(bytes),
    closeStdin: () => stream.endInput(),
    resize: (size) =>
      stream.control(new FieldWriter().bytes(Tag.terminal, encodeSize(size)).finish()),
    signal: (name) =>
      stream.control(new FieldWriter().number(Tag.signal, signalNumber(name)).finish()),
    close: () => stream.close(closed()),
  };
}

/** Keeps what comes before there is a listener, at most a window of it. */
class Output {
  #listener: ((chunk: Uint8Array) => void) | undefined;
  #early: Uint8Array[] = [];

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.#listener) this.#listener(chunk);
    else this.#early.push(chunk);
  }

  listen(listener: (chunk: Uint8Array) => void): void {
    this.#listener = listener;
    const early = this.#early;
    this.#early = [];
    for (const chunk of early) listener(chunk);
  }
}

/** The fields of open. */
export function encodeExecRequest(request: ExecRequest, window_bytes: number): Uint8Array {
  const writer = new FieldWriter().number(Tag.kind, Kind.exec).number(Tag.window, window_bytes);
  if (request.argv.length === 0) {
    throw new BangerError("invalid_argument", "Cannot run a command in the guest: empty command");
  }
  for (const argument of request.argv) writer.text(Tag.argument, withoutNul(argument));
  for (const [name, value] of Object.entries(request.env ?? {})) {
    writer.text(Tag.env, withoutNul(`${name}=${value}`));
  }
  if (request.cwd !== undefined) writer.text(Tag.cwd, withoutNul(request.cwd));
  if (request.makesCwd) writer.number(Tag.makeCwd, 1);
  if (request.user !== undefined) writer.text(Tag.user, withoutNul(request.user));
  if (request.tty) writer.bytes(Tag.terminal, encodeSize(request.tty));
  if (request.stdin) writer.number(Tag.stdin, 1);
  const fields = writer.finish();
  if (fields.length <= MAX_OPEN_BYTES) return fields;
  const [program = ""] = request.argv;
  throw new BangerError(
    "command_not_executable",
    `Cannot run "${program.slice(0, 100)}": argument list too long`,
    { hint: "Linux limits arguments and environment to 2 MiB in total, and to 128 KiB each" },
  );
}

function withoutNul(text: string): string {
  if (!text.includes("\0")) return text;
  throw new BangerError(
    "invalid_argument",
    "Cannot run a command in the guest: it contains a NUL byte",
  );
}

function encodeSize(size: TerminalSize): Uint8Array {
  const bytes = new Uint8Array(4);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, clamp(size.columns), true);
  view.setUint16(2, clamp(size.rows), true);
  return bytes;
}

function clamp(side: number): number {
  return Math.max(1, Math.min(MAX_TERMINAL_SIDE, Math.trunc(side) || 1));
}

const signalNumbers: Readonly<Record<string, number>> = constants.signals;

const SIGNAL_MAX = 64;
const SIGRTMIN = 34;

/** By name, with or without "SIG", or by number; `invalid_argument` for what is none. */
export function signalNumber(name: string): number {
  const full = name.startsWith("SIG") ? name : `SIG${name}`;
  const [, from, offset = "0"] = /^SIGRT(MIN|MAX)([+-]\d+)?$/.exec(full) ?? [];
  const realTime = from && (from === "MIN" ? SIGRTMIN : SIGNAL_MAX) + Number(offset);
  const number = Object.hasOwn(signalNumbers, full)
    ? signalNumbers[full]
    : Number(realTime ?? (/^\d+$/.test(name) ? name : undefined));
  if (number !== undefined && number > 0 && number <= SIGNAL_MAX) return number;
  throw new BangerError("invalid_argument", `unknown signal "${name}"`);
}

/** As a shell has it: 128 + n after signal n. */
export function exitCodeOf(exit: ExitStatus): number {
  return "code" in exit ? exit.code : 128 + signalNumber(exit.signal);
}

export function decodeExit(fields: Fields): ExitStatus {
  const signal = fields.number(Tag.exitSignal);
  if (signal === undefined) return { code: (fields.number(Tag.exitCode) ?? 255) & 0xff };
  const name = Object.entries(signalNumbers).find(([, number]) => number === signal)?.[0];
  return { signal: name ?? `SIG${signal}` };
}

function closed(): BangerError {
  return new BangerError("cancelled", "command cancelled");
}
