/**
 * Sessions: commands in the machine that go on when their host is gone. Output is kept in the guest, in
 * a ring of bounded size, and counted from the start: whoever comes back asks for it from the offset that
 * it has reached, so that no byte is lost or comes twice. Input is counted alike.
 *
 * `session-attach` prints records: u32 length, u8 type, then for type 1 a u64 offset and output, for type 2,
 * the last one, the session's fields.
 */
import type { Readable } from "node:stream";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Connection } from "./connection.ts";
import {
  decodeExit,
  type ExecRequest,
  type ExitStatus,
  encodeExecRequest,
  signalNumber,
  type TerminalSize,
} from "./exec.ts";
import { Fields } from "./fields.ts";
import { callProgram, openProgram, type ProgramOptions, programOutput } from "./program.ts";
import { MAX_SESSION_NAME_BYTES, SESSION_SIGNAL_LEADER, SessionRecord, Tag } from "./protocol.ts";

const FEATURE = "sessions";
const FOLDER = "/run/banger/sessions";
const RING_DEFAULT_BYTES = MiB;
const MAX_ANSWER_BYTES = MiB;
/** The guest's records are at most 32 KiB. */
const MAX_RECORD_BYTES = 64 * 1024;

export interface SessionInfo {
  pid: number;
  argv: string[];
  started_unix_ns: bigint;
  terminal: boolean;
  /** Undefined while it runs. */
  status?: ExitStatus;
  /** Output that is still there: from `outputStart`, up to but not with `outputEnd`. */
  outputStart: number;
  outputEnd: number;
  /** How much input the session has taken. */
  inputOffset: number;
}

export interface NamedSession extends SessionInfo {
  name: string;
}

/** Output from `offset` on. A jump between two chunks is output that was overwritten meanwhile. */
export interface SessionChunk {
  offset: number;
  bytes: Uint8Array;
}

export interface SessionOptions extends ProgramOptions {
  /** Where the guest has the sockets of its sessions; for tests. */
  folder?: string | undefined;
}

export class GuestSessions {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /**
   * Starts a command of this name: letters, digits, ".", "_" and "-". Stdout and stderr are one stream.
   * `ring_bytes` (default 1 MiB, at most 16 MiB) of output are kept. Fails with `already_exists`.
   */
  async start(
    name: string,
    request: Omit<ExecRequest, "window_bytes" | "stdin"> & { ring_bytes?: number },
    options?: SessionOptions,
  ): Promise<{ pid: number }> {
    const { ring_bytes = RING_DEFAULT_BYTES, ...exec } = request;
    const input = encodeExecRequest({ ...exec, stdin: true }, ring_bytes);
    const answer = Fields.parse(await this.#call("start", [name], { ...options, input }));
    return { pid: answer.number(Tag.pid) ?? 0 };
  }

  /** Those that have ended as well, until they are removed. */
  async list(options?: SessionOptions): Promise<NamedSession[]> {
    return Fields.parse(await this.#call("list", [], options))
      .list(Tag.entry)
      .map((bytes) => {
        const fields = Fields.parse(bytes);
        const name = fields.text(Tag.fileName, MAX_SESSION_NAME_BYTES) ?? "";
        return { name, ...decodeInfo(fields) };
      });
  }

  async info(name: string, options?: SessionOptions): Promise<SessionInfo> {
    return decodeInfo(Fields.parse(await this.#call("control", [name, "info", ""], options)));
  }

  /** Output from `offset` (default 0) on, and then as it comes; returns when the session has ended. */
  async *attach(
    name: string,
    options?: SessionOptions & { offset?: number },
  ): AsyncGenerator<SessionChunk, SessionInfo> {
    const words = [options?.folder ?? FOLDER, name, String(options?.offset ?? 0)];
    const program = await openProgram(this.#connection, ["session-attach", ...words], {
      ...options,
      feature: FEATURE,
    });
    return yield* readRecords(programOutput(program));
  }

  /** With `offset`, what the session has already taken of this input is not sent again. Gives the new offset. */
  async send(
    name: string,
    data: Uint8Array,
    options?: SessionOptions & { offset?: number },
  ): Promise<number> {
    const offset = options?.offset === undefined ? "" : String(options.offset);
    const answer = await this.#call("send", [name, offset], { ...options, input: data });
    return Fields.parse(answer).number(Tag.inputOffset) ?? 0;
  }

  /** Ends its input; to a terminal it sends ^D. */
  async closeInput(name: string, options?: SessionOptions): Promise<void> {
    await this.#call("control", [name, "eof", ""], options);
  }

  /** To the process group; `isForLeader`: to its first process alone. */
  async signal(
    name: string,
    signal: string,
    options?: SessionOptions & { isForLeader?: boolean | undefined },
  ): Promise<void> {
    const number = signalNumber(signal) + (options?.isForLeader ? SESSION_SIGNAL_LEADER : 0);
    await this.#call("control", [name, "signal", String(number)], options);
  }

  async resize(name: string, size: TerminalSize, options?: SessionOptions): Promise<void> {
    await this.#call("control", [name, "resize", `${size.columns}x${size.rows}`], options);
  }

  /** Waits for its end. */
  async wait(name: string, options?: SessionOptions): Promise<ExitStatus> {
    const output = this.attach(name, { ...options, offset: Number.MAX_SAFE_INTEGER });
    for (;;) {
      const { done, value } = await output.next();
      if (done) return value.status ?? { code: 255 };
    }
  }

  /** Fails with `invalid_state` while it runs. */
  async remove(name: string, options?: SessionOptions): Promise<void> {
    await this.#call("control", [name, "remove", ""], options);
  }

  async #call(
    verb: string,
    words: readonly string[],
    options: (SessionOptions & { input?: Uint8Array }) | undefined,
  ): Promise<Uint8Array> {
    return await callProgram(
      this.#connection,
      [`session-${verb}`, options?.folder ?? FOLDER, ...words],
      { ...options, feature: FEATURE, outputMax_bytes: MAX_ANSWER_BYTES },
    );
  }
}

async function* readRecords(source: Readable): AsyncGenerator<SessionChunk, SessionInfo> {
  let kept = Buffer.alloc(0);
  try {
    for await (const chunk of source) {
      kept = Buffer.concat([kept, chunk as Uint8Array]);
      let at = 0;
      for (;;) {
        if (kept.length - at < 5) break;
        const length = kept.readUInt32LE(at);
        if (length === 0 || length > MAX_RECORD_BYTES) throw malformed();
        if (kept.length - at < 4 + length) break;
        const record = kept.subarray(at + 4, at + 4 + length);
        at += 4 + length;
        if (record[0] === SessionRecord.end) return decodeInfo(Fields.parse(record.subarray(1)));
        if (record[0] === SessionRecord.data) yield decodeChunk(record);
      }
      kept = kept.subarray(at);
    }
  } finally {
    source.destroy();
  }
  throw malformed();
}

function decodeChunk(record: Buffer): SessionChunk {
  if (record.length < 9) throw malformed();
  const offset = record.readBigUInt64LE(1);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed();
  return { offset: Number(offset), bytes: Uint8Array.from(record.subarray(9)) };
}

function decodeInfo(fields: Fields): SessionInfo {
  const hasEnded = fields.has(Tag.exitCode) || fields.has(Tag.exitSignal);
  return {
    pid: fields.number(Tag.pid) ?? 0,
    argv: fields.texts(Tag.argument),
    started_unix_ns: fields.big(Tag.time_ns) ?? 0n,
    terminal: fields.has(Tag.terminal),
    outputStart: fields.number(Tag.offset) ?? 0,
    outputEnd: fields.number(Tag.offsetEnd) ?? 0,
    inputOffset: fields.number(Tag.inputOffset) ?? 0,
    status: hasEnded ? decodeExit(fields) : undefined,
  };
}

function malformed(): BangerError {
  return new BangerError("guest", "protocol error from the guest agent: malformed session record");
}
