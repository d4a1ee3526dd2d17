/** The client of one exec WebSocket: what is sent to it, and under which credit. */
import { type ExecServerMessage, INITIAL_CREDIT_BYTES, STDOUT_TAG } from "#api/exec.ts";
import { Credit } from "#base/credit.ts";
import { toDaemonError } from "#daemon/errors.ts";
import type { Target, Wire } from "./wire.ts";

/** Stdin that the client may have under way at once. */
const STDIN_WINDOW_BYTES = 256 * 1024;
/** Of one WebSocket message with output. */
const OUTPUT_CHUNK_MAX_BYTES = 256 * 1024;

/** A WebSocket of the server's, or what stands in its place. */
export interface Socket {
  send(message: string | Uint8Array): unknown;
  close(code: number): void;
}

interface Versions {
  daemon?: { version: string; commit: string } | undefined;
}

export class SocketWire implements Wire {
  readonly #socket: Socket;
  readonly #versions: Versions;
  readonly #abort = new AbortController();
  readonly #credit = new Credit(INITIAL_CREDIT_BYTES);
  readonly #go = Promise.withResolvers<void>();
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
      for (let at = 0; at < chunk.length; ) {
        const wanted = Math.min(chunk.length - at, OUTPUT_CHUNK_MAX_BYTES);
        const length = await this.#credit.take(wanted);
        // With no client left, the source is still read to its end.
        if (length === 0) break;
        this.sendOutput(STDOUT_TAG, chunk.subarray(at, at + length));
        at += length;
      }
    }
  }

  join(target: Target, vm: string, pid?: number): void {
    this.#target = target;
    if (this.signal.aborted) target.close();
    const { daemon } = this.#versions;
    this.say({ started: { vm, ...(daemon ? { daemon } : {}), ...(pid ? { pid } : {}) } });
    if (target.write) this.say({ grant: STDIN_WINDOW_BYTES });
  }

  leave(): void {
    this.#target = undefined;
  }

  async hold(vm: string): Promise<void> {
    this.say({ held: { vm } });
    await this.#go.promise;
  }

  /** The client is done with what it held the command for. */
  go(): void {
    this.#go.resolve();
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
    this.#go.resolve();
    // Whoever waits for credit is to see that the source has ended.
    this.#credit.close();
    this.#target?.close();
  }
}

function* pieces(chunk: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += OUTPUT_CHUNK_MAX_BYTES) {
    yield chunk.subarray(at, at + OUTPUT_CHUNK_MAX_BYTES);
  }
}
