import { createHash } from "node:crypto";

/**
 * Hash of a file with holes by its data alone: where each piece of it begins, and what is in it. Bytes that follow
 * each other are one piece, however they come.
 */
export class PartsHash {
  readonly #hash = createHash("sha256");
  #end = -1;

  add(bytes: Uint8Array, offset: number): void {
    if (offset !== this.#end) this.#hash.update(number(offset));
    this.#hash.update(bytes);
    this.#end = offset + bytes.length;
  }

  /** `size`: of the file, holes counted. */
  digest(size: number): string {
    return `sha256:${this.#hash.update(number(size)).digest("hex")}`;
  }
}

function number(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
