/** The bytes of a download. The browser keeps blobs on disk when they are many, and arrays in the page's memory. */
const FOLD_BYTES = 8 * 1024 * 1024;

export class Pieces {
  readonly #blobs: Blob[] = [];
  #loose: Uint8Array<ArrayBuffer>[] = [];
  #loose_bytes = 0;
  size_bytes = 0;

  /** Copies them. */
  add(bytes: Uint8Array): void {
    this.#loose.push(new Uint8Array(bytes));
    this.#loose_bytes += bytes.length;
    this.size_bytes += bytes.length;
    if (this.#loose_bytes >= FOLD_BYTES) this.#fold();
  }

  blob(): Blob {
    this.#fold();
    return new Blob(this.#blobs);
  }

  /** Bytes that are in no blob yet. */
  get loose_bytes(): number {
    return this.#loose_bytes;
  }

  #fold(): void {
    this.#blobs.push(new Blob(this.#loose));
    this.#loose = [];
    this.#loose_bytes = 0;
  }
}
