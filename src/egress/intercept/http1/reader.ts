/** Takes what it needs off a byte stream, and leaves the rest for the next. */
import type { Duplex } from "node:stream";
import { Refused } from "#egress/intercept/refused.ts";

const HEAD_END = Buffer.from("\r\n\r\n");
const LINE_END = Buffer.from("\r\n");

export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);

  constructor(stream: Duplex) {
    this.#chunks = stream.iterator({ destroyOnReturn: false });
  }

  /** Up to and with the empty line; undefined at the end of the stream. */
  async head(max_bytes: number): Promise<string | undefined> {
    return await this.#until(HEAD_END, max_bytes);
  }

  /** Without its end. `undefined` at the end of the stream. */
  async line(max_bytes: number): Promise<string | undefined> {
    return (await this.#until(LINE_END, max_bytes))?.slice(0, -LINE_END.length);
  }

  async *exactly(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0; ) {
      if (this.#held.length === 0 && !(await this.#more()))
        throw new Refused("the body is cut short", { status: 400 });
      const piece = this.#held.subarray(0, left);
      this.#held = this.#held.subarray(piece.length);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  }

  async *rest(): AsyncGenerator<Buffer> {
    do {
      const piece = this.#held;
      this.#held = Buffer.alloc(0);
      if (piece.length > 0) yield piece;
    } while (await this.#more());
  }

  async #until(end: Buffer, max_bytes: number): Promise<string | undefined> {
    let searched = 0;
    for (;;) {
      const at = this.#held.indexOf(end, searched);
      if (at >= 0 && at + end.length <= max_bytes) {
        const text = this.#held.toString("latin1", 0, at + end.length);
        this.#held = this.#held.subarray(at + end.length);
        return text;
      }
      if (at >= 0 || this.#held.length > max_bytes)
        throw new Refused("the header is too long", { status: 431 });
      searched = Math.max(0, this.#held.length - end.length + 1);
      if (await this.#more()) continue;
      if (this.#held.length === 0) return undefined;
      throw new Refused("the header is cut short", { status: 400 });
    }
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next().catch((error) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Refused(`the connection was lost: ${reason}`, { status: 502 });
    });
    if (next.done) return false;
    this.#held = this.#held.length === 0 ? next.value : Buffer.concat([this.#held, next.value]);
    return true;
  }
}
