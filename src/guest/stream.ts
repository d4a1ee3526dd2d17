/** One stream: credit in both directions, order, and the one end. What it is for is known to its user. */
import { Credit } from "#base/credit.ts";
import { BangerError } from "#base/error.ts";
import { Fields } from "./fields.ts";
import { encodeFrame, type Frame, ownPayload } from "./frame.ts";
import {
  CHANNEL_IN,
  CHANNEL_MASK,
  FLAG_MORE,
  FrameType,
  type GuestErrorCode,
  guestErrors,
  MAX_PAYLOAD_BYTES,
  Tag,
} from "./protocol.ts";

/** The guest may not raise the host's credit beyond this. */
const MAX_CREDIT_BYTES = 0xffff_ffff;

/** What a stream needs of its connection. */
export interface StreamOwner {
  send(frame: Uint8Array): void;
  writable(): Promise<void>;
}

/** Calls of a stream's user; none comes after `onEnd`. */
export interface StreamHandlers {
  /** `chunk` is the handler's to keep. */
  onData(channel: number, chunk: Uint8Array): void;
  onEof(channel: number): void;
}

export class Stream {
  readonly id: number;
  /** Resolves with the fields of opened; rejects with the guest's reason, or the connection's. */
  readonly opened: Promise<Fields>;
  /** Resolves with the fields of close; rejects with the guest's reason, or the connection's. */
  readonly ended: Promise<Fields>;
  readonly #owner: StreamOwner;
  readonly #opened = Promise.withResolvers<Fields>();
  readonly #ended = Promise.withResolvers<Fields>();
  #handlers: StreamHandlers | undefined;
  /** What came before there were handlers: bounded by the window. */
  #early: Frame[] = [];
  /** What the guest may still send, as far as it was told. */
  #receiveCredit: number;
  readonly #lowCredit: number;
  #ungranted = 0;
  readonly #credit = new Credit(0);
  #isOpened = false;
  #isOver = false;
  #isClosing = false;
  #takesInput = true;
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(owner: StreamOwner, id: number, window_bytes: number) {
    this.#owner = owner;
    this.id = id;
    this.#receiveCredit = window_bytes;
    this.#lowCredit = Math.floor(window_bytes / 2);
    this.opened = this.#opened.promise;
    this.ended = this.#ended.promise;
    this.opened.catch(() => {});
    this.ended.catch(() => {});
  }

  /** Gives the data that has come and will come to `handlers`. */
  handle(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    const early = this.#early;
    this.#early = [];
    for (const frame of early) this.#deliver(frame, handlers);
  }

  /** Allows the guest to send so many bytes more. It is told once half of the window is used up. */
  grant(bytes: number): void {
    if (bytes <= 0) return;
    this.#ungranted += bytes;
    this.#tellGranted();
  }

  /** Sends in order and under credit; resolves when all is on its way, or is not wanted any more. */
  write(bytes: Uint8Array): Promise<void> {
    this.#lastWrite = this.#lastWrite.then(() => this.#send(bytes));
    return this.#lastWrite;
  }

  /** Ends the data of this side, after what was written. */
  endInput(): Promise<void> {
    this.#lastWrite = this.#lastWrite.then(() => {
      if (!this.#canSend()) return;
      this.#takesInput = false;
      this.#owner.send(encodeFrame(FrameType.eof, { stream: this.id, flags: CHANNEL_IN }));
    });
    return this.#lastWrite;
  }

  control(fields: Uint8Array): void {
    if (!this.#canControl()) return;
    this.#owner.send(encodeFrame(FrameType.control, { stream: this.id, payload: fields }));
  }

  /** Gives the stream up: `ended` rejects with `reason`, what still comes is dropped. */
  close(reason: BangerError): void {
    if (this.#isOver || this.#isClosing) return;
    this.#isClosing = true;
    this.#owner.send(encodeFrame(FrameType.close, { stream: this.id }));
    this.#settle(reason);
  }

  /** The connection is gone. */
  lose(reason: BangerError): void {
    this.#isOver = true;
    this.#settle(reason);
  }

  /** A frame of the guest for this stream. */
  take(frame: Frame): void {
    switch (frame.type) {
      case FrameType.opened:
        this.#takeOpened(Fields.parse(ownPayload(frame)));
        return;
      case FrameType.data:
        this.#takeData(frame);
        return;
      case FrameType.eof:
        this.#takeEof(frame);
        return;
      case FrameType.credit:
        this.#addCredit(decodeCredit(frame.payload));
        return;
      case FrameType.close:
        this.#takeClose(Fields.parse(ownPayload(frame)));
    }
  }

  #takeOpened(fields: Fields): void {
    if (this.#isOpened) throw violation("stream opened twice");
    this.#isOpened = true;
    this.#addCredit(fields.number(Tag.window) ?? 0);
    this.#opened.resolve(fields);
  }

  #takeData(frame: Frame): void {
    if (frame.payload.length > this.#receiveCredit) {
      throw violation("flow control violation");
    }
    this.#receiveCredit -= frame.payload.length;
    this.#tellGranted();
    if (this.#isClosing) return;
    const kept = { ...frame, payload: ownPayload(frame) };
    if (this.#handlers) this.#deliver(kept, this.#handlers);
    else this.#early.push(kept);
    /* Empty frames take no credit: so many of them must not pile up. */
    if (this.#early.length > MAX_EARLY_FRAMES) throw violation("empty frame");
  }

  #takeEof(frame: Frame): void {
    if ((frame.flags & CHANNEL_MASK) === CHANNEL_IN) {
      this.#takesInput = false;
      this.#credit.close();
      return;
    }
    if (this.#isClosing) return;
    if (this.#handlers) this.#deliver(frame, this.#handlers);
    else if (this.#early.push({ ...frame, payload: new Uint8Array(0) }) > MAX_EARLY_FRAMES) {
      throw violation("stream ended twice");
    }
  }

  #takeClose(fields: Fields): void {
    this.#isOver = true;
    const error = decodeError(fields);
    if (error) {
      this.#settle(error);
      return;
    }
    this.#opened.resolve(fields);
    this.#ended.resolve(fields);
    this.#credit.close();
  }

  #deliver(frame: Frame, handlers: StreamHandlers): void {
    const channel = frame.flags & CHANNEL_MASK;
    if (frame.type === FrameType.eof) handlers.onEof(channel);
    else handlers.onData(channel, frame.payload);
  }

  #settle(reason: BangerError): void {
    this.#opened.reject(reason);
    this.#ended.reject(reason);
    this.#early = [];
    this.#credit.close();
  }

  #tellGranted(): void {
    const isDue = this.#ungranted > 0 && this.#receiveCredit <= this.#lowCredit;
    if (!isDue || !this.#canControl()) return;
    const bytes = Math.min(this.#ungranted, MAX_CREDIT_BYTES);
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setUint32(0, bytes, true);
    this.#ungranted -= bytes;
    this.#receiveCredit += bytes;
    this.#owner.send(encodeFrame(FrameType.credit, { stream: this.id, payload }));
  }

  #addCredit(bytes: number): void {
    this.#credit.add(bytes);
    if (this.#credit.left_bytes > MAX_CREDIT_BYTES) throw violation("credit overflow");
  }

  #canControl(): boolean {
    return !this.#isOver && !this.#isClosing;
  }

  #canSend(): boolean {
    return this.#canControl() && this.#takesInput;
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const count = await this.#credit.take(Math.min(MAX_PAYLOAD_BYTES, bytes.length - at));
      await this.#owner.writable();
      if (!this.#canSend()) return;
      const payload = bytes.subarray(at, at + count);
      this.#owner.send(
        encodeFrame(FrameType.data, { stream: this.id, flags: CHANNEL_IN, payload }),
      );
      at += count;
    }
  }
}

/** Far more than the largest window holds in full frames. */
const MAX_EARLY_FRAMES = 4096;

/** Sends an open, in several frames where it is long. */
export function sendOpen(owner: StreamOwner, stream: number, fields: Uint8Array): void {
  for (let at = 0; ; at += MAX_PAYLOAD_BYTES) {
    const payload = fields.subarray(at, at + MAX_PAYLOAD_BYTES);
    const isLast = at + payload.length === fields.length;
    const flags = isLast ? 0 : FLAG_MORE;
    owner.send(encodeFrame(FrameType.open, { stream, flags, payload }));
    if (isLast) return;
  }
}

function decodeCredit(payload: Uint8Array): number {
  if (payload.length < 4) throw violation("credit frame too short");
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getUint32(0, true);
}

/** The guest's own words, with a code that it cannot choose freely; undefined where it names no error. */
export function decodeError(fields: Fields): BangerError | undefined {
  const name = fields.text(Tag.error, 64);
  if (name === undefined) return undefined;
  const code: GuestErrorCode = guestErrors.find((known) => known === name) ?? "internal";
  const message = fields.text(Tag.message, 1024) ?? "unknown error in the guest";
  return new BangerError(code === "internal" ? "guest" : code, message);
}

function violation(detail: string): BangerError {
  return new BangerError("guest", `protocol error from the guest agent: ${detail}`);
}
