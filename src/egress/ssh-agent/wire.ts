/** The ssh agent's protocol on the wire: messages with their length in front, made of bytes, numbers and strings. */
import type { Readable } from "node:stream";

/** What OpenSSH's agent and clients accept. */
export const MESSAGE_MAX_BYTES = 256 * 1024;

export const Message = {
  failure: 5,
  success: 6,
  requestIdentities: 11,
  identitiesAnswer: 12,
  signRequest: 13,
  signResponse: 14,
  extension: 27,
  extensionFailure: 28,
} as const;

/** Bytes that end early, or go on after their end. */
export class Malformed extends Error {}

/** Reads one message or key from its start. Throws `Malformed`. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    return this.#take(1).readUInt8();
  }

  u32(): number {
    return this.#take(4).readUInt32BE();
  }

  bool(): boolean {
    return this.byte() !== 0;
  }

  string(): Buffer {
    return this.#take(this.u32());
  }

  text(): string {
    return this.string().toString("latin1");
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new Malformed("trailing bytes");
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new Malformed("too short");
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return taken;
  }
}

/** A string of the protocol. */
export function lengthAndBytes(value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value as Uint8Array);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Messages of a stream until it ends. Throws `Malformed` for one that is too long, or empty. */
export async function* messagesOf(stream: Readable): AsyncGenerator<Buffer, void> {
  let chunks: Buffer[] = [];
  let received_bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    received_bytes += (chunk as Buffer).length;
    while (received_bytes >= 4) {
      const [first = Buffer.alloc(0)] = chunks;
      const head = first.length >= 4 ? first : Buffer.concat(chunks);
      const length = head.readUInt32BE();
      if (length === 0 || length > MESSAGE_MAX_BYTES) throw new Malformed("message too long");
      if (received_bytes < 4 + length) break;
      const all = chunks.length === 1 ? first : Buffer.concat(chunks);
      yield all.subarray(4, 4 + length);
      const rest = all.subarray(4 + length);
      chunks = rest.length > 0 ? [rest] : [];
      received_bytes = rest.length;
    }
  }
}
