/** A TCP or unix connection inside the guest, as a Duplex of the host. */
import { Duplex } from "node:stream";
import { onAbort, throwIfAborted } from "#base/abort.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import type { Connection } from "./connection.ts";
import { FieldWriter } from "./fields.ts";
import { Kind, Tag } from "./protocol.ts";
import type { Stream } from "./stream.ts";

const WINDOW_BYTES = 256 * KiB;
/** Grants are collected up to this, so that small reads do not each cost a frame. */
const GRANT_STEP_BYTES = 64 * KiB;

export type ConnectTarget =
  /** `host` is an IP address or "localhost", as the guest sees it. */
  { kind: "tcp"; host: string; port: number } | { kind: "unix"; path: string };

/** Fails with `unavailable` when nobody listens there. */
export async function openConnection(
  connection: Connection,
  target: ConnectTarget,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Duplex> {
  throwIfAborted(options.signal);
  const fields = new FieldWriter().number(Tag.kind, Kind.connect).number(Tag.window, WINDOW_BYTES);
  if (target.kind === "unix") fields.text(Tag.path, target.path);
  else fields.text(Tag.host, target.host).number(Tag.port, target.port);
  const stream = connection.open(fields.finish(), WINDOW_BYTES);
  using _ = onAbort(options.signal, () => stream.close(closed()));
  try {
    await stream.opened;
    return new GuestSocket(stream);
  } catch (error) {
    const where = target.kind === "unix" ? target.path : `${target.host}:${target.port}`;
    const reason = toBangerError(error);
    if (reason.code === "cancelled") throw reason;
    throw new BangerError(
      reason.code,
      `Cannot connect to "${where}" in the guest: ${reason.message}`,
      { cause: error },
    );
  }
}

class GuestSocket extends Duplex {
  readonly #stream: Stream;
  /** Given to the reader's buffer and not yet granted again. */
  #owed = 0;
  #isFull = false;

  constructor(stream: Stream) {
    super({ allowHalfOpen: true });
    this.#stream = stream;
    // A guest that breaks off may not end this process, even while nobody listens yet.
    this.on("error", () => {});
    stream.handle({
      onData: (_channel, chunk) => this.#take(chunk),
      onEof: () => this.push(null),
    });
    stream.ended.then(
      () => this.#finish(),
      (error: unknown) => this.destroy(toBangerError(error)),
    );
  }

  override _read(): void {
    this.#isFull = false;
    this.#grant(1);
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    this.#stream.write(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error) => void): void {
    this.#stream.endInput().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stream.close(closed());
    done(error);
  }

  #take(chunk: Uint8Array): void {
    this.#owed += chunk.length;
    this.#isFull = !this.push(chunk);
    if (!this.#isFull) this.#grant(GRANT_STEP_BYTES);
  }

  #grant(least: number): void {
    if (this.#owed < least || this.#isFull) return;
    this.#stream.grant(this.#owed);
    this.#owed = 0;
  }

  /** The guest has closed both directions. */
  #finish(): void {
    if (!this.readableEnded && !this.destroyed) this.push(null);
    if (!this.writableEnded) this.end();
  }
}

function closed(): BangerError {
  return new BangerError("cancelled", "connection to the guest closed");
}
