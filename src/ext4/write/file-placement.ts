/** Where the content of one file goes: block after block of the output, with a new run after each hole. */
import { assert } from "#base/assert.ts";
import type { Run } from "#ext4/extent-tree.ts";
import { BLOCK_BYTES } from "#ext4/format.ts";
import type { BlockOutput } from "./output.ts";

export class FilePlacement {
  readonly #output: BlockOutput;
  readonly #size: number;
  readonly #runs: Run[] = [];
  #position = 0;
  #runLogical = 0;
  #runPhysical: number;

  constructor(output: BlockOutput, size: number) {
    this.#output = output;
    this.#size = size;
    this.#runPhysical = output.block;
  }

  write(bytes: Uint8Array): void {
    this.#position += bytes.length;
    assert(this.#position <= this.#size, "a file gets no more than its size");
    this.#output.write(bytes);
  }

  /** Goes on at `offset`, which is not before the present position. */
  hole(offset: number): void {
    assert(offset >= this.#position && offset <= this.#size, "a hole leads forward in the file");
    const blockEnd = Math.ceil(this.#position / BLOCK_BYTES) * BLOCK_BYTES;
    if (offset < blockEnd) {
      this.#output.zeros(offset - this.#position);
    } else {
      this.#endRun();
      this.#runLogical = Math.floor(offset / BLOCK_BYTES);
      this.#runPhysical = this.#output.block;
      if (offset < this.#size) this.#output.zeros(offset % BLOCK_BYTES);
    }
    this.#position = offset;
  }

  /** What was not given reads as zeros. */
  close(): Run[] {
    if (this.#position < this.#size) this.hole(this.#size);
    this.#endRun();
    return this.#runs;
  }

  #endRun(): void {
    this.#output.padToBlock();
    const count = this.#output.block - this.#runPhysical;
    if (count === 0) return;
    const last = this.#runs[this.#runs.length - 1];
    if (last && last.logical + last.count === this.#runLogical) {
      last.count += count;
    } else {
      this.#runs.push({ logical: this.#runLogical, physical: this.#runPhysical, count });
    }
  }
}
