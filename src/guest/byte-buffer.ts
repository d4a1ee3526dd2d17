/** Bytes that come in pieces of any size, kept in one place: a million pieces of one byte take no more than a megabyte. */

const MIN_BYTES = 4096;

export class ByteBuffer {
  #bytes = new Uint8Array(0);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(chunk: Uint8Array): void {
    const size = this.#size + chunk.length;
    if (size > this.#bytes.length) {
      const more = new Uint8Array(Math.max(size, this.#bytes.length * 2, MIN_BYTES));
      more.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = more;
    }
    this.#bytes.set(chunk, this.#size);
    this.#size = size;
  }

  /** All that was added since the last call. */
  take(): Buffer<ArrayBuffer> {
    const taken = Buffer.from(this.#bytes.buffer, 0, this.#size);
    this.#bytes = new Uint8Array(0);
    this.#size = 0;
    return taken;
  }
}
