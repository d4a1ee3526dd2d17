/** Frames as bytes, and back. The layout is specified in protocol.ts. */
import { assert } from "#base/assert.ts";
import { BangerError } from "#base/error.ts";
import {
  FrameType,
  HEADER_BYTES,
  MAX_FRAME_BYTES,
  MAX_PAYLOAD_BYTES,
  NONCE_BYTES,
  SYNC_MAGIC,
  SYNC_PADDING_BYTES,
  TRAILER,
} from "./protocol.ts";

export interface Frame {
  type: number;
  flags: number;
  stream: number;
  /** Valid until the next call of `push`; a reader that keeps it makes a copy. */
  payload: Uint8Array;
}

export interface FrameOptions {
  flags?: number;
  stream?: number;
  payload?: Uint8Array;
}

export function encodeFrame(type: number, options: FrameOptions = {}): Uint8Array {
  const payload = options.payload ?? new Uint8Array(0);
  assert(payload.length <= MAX_PAYLOAD_BYTES, "the payload fits into a frame");
  const bytes = new Uint8Array(HEADER_BYTES + payload.length + 1);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint8(1, options.flags ?? 0);
  view.setUint16(2, payload.length, true);
  view.setUint32(4, options.stream ?? 0, true);
  bytes.set(payload, HEADER_BYTES);
  bytes[bytes.length - 1] = TRAILER;
  return bytes;
}

/** The payload's bytes, for whoever keeps them. */
export function ownPayload({ payload }: Frame): Uint8Array {
  // The `slice` of a Buffer is a view.
  return Uint8Array.prototype.slice.call(payload);
}

/** Padding and sync frame: what a host sends first. */
export function encodeSync(nonce: Uint8Array): Uint8Array {
  assert(nonce.length === NONCE_BYTES, "a nonce has its length");
  const payload = new Uint8Array([...new TextEncoder().encode(SYNC_MAGIC), ...nonce]);
  const frame = encodeFrame(FrameType.sync, { payload });
  const bytes = new Uint8Array(SYNC_PADDING_BYTES + frame.length);
  bytes.set(frame, SYNC_PADDING_BYTES);
  return bytes;
}

/** Cuts a byte stream into frames; holds at most one frame. */
export class FrameParser {
  readonly #buffer = new Uint8Array(MAX_FRAME_BYTES);
  #filled = 0;

  /** Calls `onFrame` for each frame that is complete. Fails with a `guest` error when out of step. */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#filled === 0) {
        if (chunk[at] === 0) {
          at++;
          continue;
        }
        const size = frameSize(chunk, at);
        if (size !== undefined && size <= chunk.length - at) {
          onFrame(decodeFrame(chunk.subarray(at, at + size)));
          at += size;
          continue;
        }
      }
      at += this.#fill(chunk, at);
      const size = frameSize(this.#buffer.subarray(0, this.#filled), 0);
      if (size !== undefined && size === this.#filled) {
        this.#filled = 0;
        onFrame(decodeFrame(this.#buffer.subarray(0, size)));
      }
    }
  }

  /** Copies from `chunk` what the frame in the buffer still lacks, its header first. */
  #fill(chunk: Uint8Array, at: number): number {
    const size = frameSize(this.#buffer.subarray(0, this.#filled), 0) ?? HEADER_BYTES;
    const count = Math.min(size - this.#filled, chunk.length - at);
    this.#buffer.set(chunk.subarray(at, at + count), this.#filled);
    this.#filled += count;
    return count;
  }
}

/** Bytes of the frame that begins at `at`, undefined while its header is not complete. */
function frameSize(bytes: Uint8Array, at: number): number | undefined {
  if (bytes.length - at < HEADER_BYTES) return undefined;
  const length = (bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8);
  if (length > MAX_PAYLOAD_BYTES) throw outOfStep("frame too long");
  return HEADER_BYTES + length + 1;
}

function decodeFrame(bytes: Uint8Array): Frame {
  if (bytes[bytes.length - 1] !== TRAILER) throw outOfStep("frame without trailer");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    type: view.getUint8(0),
    flags: view.getUint8(1),
    stream: view.getUint32(4, true),
    payload: bytes.subarray(HEADER_BYTES, bytes.length - 1),
  };
}

function outOfStep(detail: string): BangerError {
  return new BangerError("guest", `protocol error from the guest agent: ${detail}`);
}

/** Finds the hello that answers a nonce in a stream that begins with stale bytes. */
export class HelloHunter {
  readonly #pattern: Uint8Array;
  #kept: Uint8Array = new Uint8Array(0);

  constructor(nonce: Uint8Array) {
    this.#pattern = nonce;
  }

  /** The bytes from the hello frame on, or undefined while it has not come. */
  push(chunk: Uint8Array): Uint8Array | undefined {
    const bytes = Buffer.concat([this.#kept, chunk]);
    let found = bytes.indexOf(this.#pattern);
    while (found !== -1) {
      const start = found - HEADER_BYTES;
      if (start >= 0 && isHelloHeader(bytes, start)) return bytes.subarray(start);
      found = bytes.indexOf(this.#pattern, found + 1);
    }
    const keep = HEADER_BYTES + NONCE_BYTES - 1;
    this.#kept = Uint8Array.prototype.slice.call(bytes, Math.max(0, bytes.length - keep));
    return undefined;
  }
}

/** Type, no flags, a length that holds a nonce, and the connection itself as stream. */
function isHelloHeader(bytes: Buffer, at: number): boolean {
  const length = bytes.readUInt16LE(at + 2);
  return (
    bytes.readUInt16LE(at) === FrameType.hello &&
    length >= NONCE_BYTES &&
    length <= MAX_PAYLOAD_BYTES &&
    bytes.readUInt32LE(at + 4) === 0
  );
}
