/** The bytes between a machine and a share: whole messages, one after another, and no more answers than are taken. */
import type { Socket } from "node:net";
import { IN_HEADER_BYTES, MESSAGE_MAX_BYTES, ProtocolError } from "./wire.ts";

/** Cuts a stream into messages. A `ProtocolError` for one that is none. */
export class Messages {
  #parts: Buffer[] = [];
  #have_bytes = 0;

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#parts.push(chunk);
    this.#have_bytes += chunk.length;
  }

  /** The next whole one; undefined: it is not all here. */
  next(): Buffer | undefined {
    if (this.#have_bytes < 4) return undefined;
    const length = this.#peekLength();
    if (length < IN_HEADER_BYTES || length > MESSAGE_MAX_BYTES) {
      throw new ProtocolError(`a message of ${length} bytes`);
    }
    if (this.#have_bytes < length) return undefined;
    this.#have_bytes -= length;
    const [first = Buffer.alloc(0)] = this.#parts;
    if (first.length > length) {
      this.#parts[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const whole = Buffer.concat(this.#parts);
    const rest = whole.subarray(length);
    this.#parts = rest.length > 0 ? [rest] : [];
    return whole.subarray(0, length);
  }

  #peekLength(): number {
    const [first = Buffer.alloc(0)] = this.#parts;
    if (first.length >= 4) return first.readUInt32LE(0);
    const whole = Buffer.concat(this.#parts);
    this.#parts = [whole];
    return whole.readUInt32LE(0);
  }
}

/**
 * Answers what comes from a socket until it ends. `onFault` gets the `ProtocolError` of what no kernel sends, with the
 * socket closed. Nothing more is read while answers wait to be taken.
 */
export function serveStream(
  socket: Socket,
  answer: (message: Buffer) => Buffer | undefined,
  onFault: (error: unknown) => void,
): void {
  const messages = new Messages();
  let isFull = false;
  const pump = (): void => {
    try {
      while (!isFull) {
        const message = messages.next();
        if (!message) break;
        const answered = answer(message);
        if (answered) isFull = !socket.write(answered);
      }
    } catch (error) {
      socket.destroy();
      onFault(error);
      return;
    }
    if (isFull) socket.pause();
    else socket.resume();
  };
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    messages.push(chunk);
    if (!isFull) pump();
  });
  socket.on("drain", () => {
    isFull = false;
    pump();
  });
}
