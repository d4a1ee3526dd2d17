/**
 * The host's end of the pipe: handshake, frames out under back-pressure, frames in, and the table
 * of streams. Everything that comes from the guest is checked here; the first violation ends the
 * connection with a `guest` error.
 */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { abortError, onAbort } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { EventBudget, EventLog } from "./event.ts";
import { Fields } from "./fields.ts";
import { encodeSync, type Frame, FrameParser, HelloHunter, ownPayload } from "./frame.ts";
import { type AgentHello, decodeHello } from "./hello.ts";
import { FrameType, MAX_OPEN_BYTES, NONCE_BYTES } from "./protocol.ts";
import { Stream, type StreamOwner, sendOpen } from "./stream.ts";

/** A guest that does not answer is asked again after this time, and then after twice as long. */
const SYNC_RETRY_MS = 2000;
const MAX_STREAM_ID = 0xffff_fff0;

export class Connection implements StreamOwner {
  readonly closed: Promise<void>;
  readonly events = new EventLog();
  readonly #events = new EventBudget();
  readonly #pipe: Duplex;
  readonly #parser = new FrameParser();
  readonly #streams = new Map<number, Stream>();
  readonly #resolveClosed: () => void;
  #hunter: HelloHunter | undefined;
  #hello: AgentHello | undefined;
  #onHello: ((hello: AgentHello) => void) | undefined;
  #failure: BangerError | undefined;
  #nextId = 1;
  #drained: PromiseWithResolvers<void> | undefined;

  constructor(pipe: Duplex) {
    this.#pipe = pipe;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
    pipe.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    pipe.on("drain", () => this.#releaseWriters());
    pipe.on("error", (error) => this.fail(lost(`the pipe failed: ${messageOf(error)}`)));
    pipe.on("end", () => this.fail(lost("closed by the machine")));
    pipe.on("close", () => this.fail(lost("pipe closed")));
  }

  get failure(): BangerError | undefined {
    return this.#failure;
  }

  /** What the agent can do; empty before it has answered. */
  get features(): readonly string[] {
    return this.#hello?.features ?? [];
  }

  /** How many are open now. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Asks until the guest answers, the connection fails, or `signal` fires. */
  async shakeHands(signal: AbortSignal): Promise<AgentHello> {
    const { promise, resolve } = Promise.withResolvers<AgentHello>();
    this.#onHello = resolve;
    let wait_ms = SYNC_RETRY_MS;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = (): void => {
      timer = setTimeout(ask, wait_ms);
      wait_ms *= 2;
      void this.writable().then(() => this.#sendSync());
    };
    using _ = onAbort(signal, () => this.fail(abortError(signal)));
    try {
      if (!signal.aborted) ask();
      const hello = await Promise.race([promise, this.closed.then(() => undefined)]);
      if (!hello) throw this.#failure;
      return hello;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Opens a stream; `fields` are those of the open frame. */
  open(fields: Uint8Array, window_bytes: number): Stream {
    if (this.#failure) throw this.#failure;
    if (fields.length > MAX_OPEN_BYTES) {
      throw new BangerError("limit_exceeded", "Cannot send the request: too long", {
        hint: `Arguments and environment are limited to ${MAX_OPEN_BYTES} bytes in total`,
      });
    }
    if (this.#streams.size >= (this.#hello?.maxStreams ?? 0)) {
      throw new BangerError("limit_exceeded", "too many open streams to the guest", {
        hint: "Stop a running command or close a connection",
      });
    }
    if (this.#nextId >= MAX_STREAM_ID) throw lost("out of stream numbers");
    const stream = new Stream(this, this.#nextId, window_bytes);
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    sendOpen(this, stream.id, fields);
    return stream;
  }

  send(frame: Uint8Array): void {
    if (!this.#failure) this.#pipe.write(frame);
  }

  /** Resolves when the pipe takes more, or is gone. */
  async writable(): Promise<void> {
    while (this.#pipe.writableNeedDrain && !this.#failure) {
      this.#drained ??= Promise.withResolvers<void>();
      await this.#drained.promise;
    }
  }

  /** Ends the connection; the first reason stays. */
  fail(reason: BangerError): void {
    if (this.#failure) return;
    this.#failure = reason;
    this.#pipe.destroy();
    this.#releaseWriters();
    for (const stream of this.#streams.values()) stream.lose(reason);
    this.#streams.clear();
    this.events.end();
    this.#resolveClosed();
  }

  #sendSync(): void {
    if (this.#hello) return;
    const nonce = randomBytes(NONCE_BYTES);
    this.#hunter = new HelloHunter(nonce);
    this.send(encodeSync(nonce));
  }

  #releaseWriters(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }

  #receive(chunk: Uint8Array): void {
    if (this.#failure) return;
    try {
      const bytes = this.#hello ? chunk : this.#hunter?.push(chunk);
      if (bytes) this.#parser.push(bytes, (frame) => this.#take(frame));
    } catch (error) {
      this.fail(
        error instanceof BangerError
          ? error
          : new BangerError(
              "internal",
              `Cannot process the guest's response: ${messageOf(error)}`,
              {
                cause: error,
              },
            ),
      );
    }
  }

  #take(frame: Frame): void {
    if (this.#failure) return;
    switch (frame.type) {
      case FrameType.hello:
        this.#hello = decodeHello(frame.payload);
        this.#onHello?.(this.#hello);
        return;
      case FrameType.beacon:
        throw lost("the agent restarted");
      case FrameType.event:
        this.#events.spend(frame.payload.length);
        this.events.add(Fields.parse(ownPayload(frame)));
        return;
      case FrameType.opened:
      case FrameType.data:
      case FrameType.eof:
      case FrameType.credit:
      case FrameType.close:
        this.#takeStreamFrame(frame);
    }
  }

  #takeStreamFrame(frame: Frame): void {
    const stream = this.#streams.get(frame.stream);
    if (!stream) {
      throw new BangerError("guest", "protocol error from the guest agent: unknown stream");
    }
    stream.take(frame);
    if (frame.type === FrameType.close) this.#streams.delete(frame.stream);
  }
}

function lost(detail: string): BangerError {
  return new BangerError("unavailable", `connection to the guest agent lost: ${detail}`);
}
