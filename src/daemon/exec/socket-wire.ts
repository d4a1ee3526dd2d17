/** The client of one exec WebSocket: what is sent to it, and under which credit. */
import type { ServerWebSocket } from "bun";
import { type ExecServerMessage, INITIAL_CREDIT_BYTES, STDOUT_TAG } from "#api/exec.ts";
import { toDaemonError } from "#daemon/errors.ts";
import type { ExecSession, Target, Wire } from "./wire.ts";

/** Stdin that the client may have under way at once. */
const STDIN_WINDOW_BYTES = 256 * 1024;
/** Of one WebSocket message with output. */
const OUTPUT_CHUNK_MAX_BYTES = 256 * 1024;

export type Socket = ServerWebSocket<{ session?: ExecSession }>;

interface Versions {
  daemon?: { version: string; commit: string } | undefined;
}

export class SocketWire implements Wire {
  readonly #socket: Socket;
  readonly #versions: Versions;
  readonly #abort = new AbortController();
  readonly #credit = new Credit();
  #target: Target | undefined;

  constructor(socket: Socket, versions: Versions) {
    this.#socket = socket;
    this.#versions = versions;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Undefined before the stream has begun and after its end. */
  get target(): Target | undefined {
    return this.#target;
  }

  say(message: ExecServerMessage): void {
    if (!this.signal.aborted) this.#socket.send(JSON.stringify(message));
  }

  sendOutput(tag: number, chunk: Uint8Array): void {
    for (const part of pieces(chunk)) {
      const message = new Uint8Array(part.length + 1);
      message[0] = tag;
      message.set(part, 1);
      if (!this.signal.aborted) this.#socket.send(message);
    }
  }

  async pipe(source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of source) {
      for (const part of pieces(chunk)) {
        await this.#credit.take(part.length);
        this.sendOutput(STDOUT_TAG, part);
      }
    }
  }

  join(target: Target, vm: string): void {
    this.#target = target;
    if (this.signal.aborted) target.close();
    const { daemon } = this.#versions;
    this.say({ started: daemon ? { vm, daemon } : { vm } });
    if (target.write) this.say({ grant: STDIN_WINDOW_BYTES });
  }

  leave(): void {
    this.#target = undefined;
  }

  /** The client takes so much more. */
  grant(bytes: number): void {
    if (this.#target?.grant) this.#target.grant(bytes);
    else this.#credit.add(bytes);
  }

  /** Ends the connection with an error, or with the message that says how it went. */
  finish(message: ExecServerMessage): void {
    this.say(message);
    this.#socket.close(1000);
  }

  fail(error: unknown): void {
    const { code, message, hint } = toDaemonError(error);
    this.finish({ error: hint ? { code, message, hint } : { code, message } });
  }

  /** The client is gone. */
  close(): void {
    this.#abort.abort();
    // Whoever waits for credit is to see that the source has ended.
    this.#credit.add(Number.MAX_SAFE_INTEGER);
    this.#target?.close();
  }
}

function* pieces(chunk: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += OUTPUT_CHUNK_MAX_BYTES) {
    yield chunk.subarray(at, at + OUTPUT_CHUNK_MAX_BYTES);
  }
}

/** Bytes that may still be sent, and a wait for more of them. */
class Credit {
  #left = INITIAL_CREDIT_BYTES;
  #more = Promise.withResolvers<void>();

  add(bytes: number): void {
    this.#left += bytes;
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  async take(bytes: number): Promise<void> {
    while (this.#left < bytes && this.#left < INITIAL_CREDIT_BYTES) await this.#more.promise;
    this.#left -= bytes;
  }
}
