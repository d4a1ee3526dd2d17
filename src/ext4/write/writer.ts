/**
 * Writes an ext4 file system front to back in one pass: file data goes to its final blocks as it arrives, all
 * metadata follows in `finish()` (metadata.ts). Without a journal and backup superblocks nothing interrupts the data,
 * and the size need not be known in advance.
 */
import { fstatSync } from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import { assert } from "#base/assert.ts";
import { BangerError } from "#base/error.ts";
import { punchHole } from "#base/libc.ts";
import { GiB } from "#base/size.ts";
import type { Attributes } from "#ext4/attributes.ts";
import type { Run } from "#ext4/extent-tree.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  FAST_SYMLINK_END_BYTES,
  FILE_MAX_BYTES,
  GROUPS_PER_DESCRIPTOR_BLOCK,
  modes,
  SYMLINK_MAX_BYTES,
} from "#ext4/format.ts";
import { type Identity, identityOf } from "#ext4/identity.ts";
import { writeMetadata } from "./metadata.ts";
import { BlockOutput, setFileSize } from "./output.ts";
import { Tree } from "./tree.ts";

export interface WriterOptions {
  /** The UUID and the hash seed derive from it. */
  seed: string;
  /** The largest size that the group descriptors have room for; default 64 GiB. */
  sizeMax_bytes?: number;
  label?: string | undefined;
}

export interface FinishOptions {
  /** Free space in the file system; default 0. */
  freeSpace_bytes?: number;
  signal?: AbortSignal | undefined;
}

export interface WrittenImage {
  /** Length of the file. */
  size_bytes: number;
  /** Disk usage. */
  allocated_bytes: number;
  /** Inodes in use: files, directories and all others. */
  inodes: number;
  /** Extended attributes left out because ext4 does not have their namespace. */
  droppedXattrs: number;
}

const SIZE_MAX_DEFAULT_BYTES = 64 * GiB;
/** In all files together: they stay in memory to the end. */
const SPARSE_RUNS_MAX = 1_000_000;

export class Ext4Writer {
  readonly tree = new Tree();
  readonly #fd: number;
  readonly #identity: Identity;
  readonly #label: string | undefined;
  /** Blocks kept for the superblock and the group descriptors. */
  readonly #reserved: number;
  readonly #output: BlockOutput;
  /** Runs of the files that have more than one, by inode. */
  readonly #sparse = new Map<number, Run[]>();
  #sparseRuns = 0;
  readonly #freed: { start: number; blocks: number }[] = [];
  #file: FileContent | undefined;

  /** `fd`: an empty file open for writing; the caller closes it. */
  constructor(fd: number, options: WriterOptions) {
    this.#fd = fd;
    this.#identity = identityOf(options.seed);
    this.#label = options.label;
    const groups = Math.ceil(
      (options.sizeMax_bytes ?? SIZE_MAX_DEFAULT_BYTES) / BLOCK_BYTES / BLOCKS_PER_GROUP,
    );
    this.#reserved = 1 + Math.ceil(groups / GROUPS_PER_DESCRIPTOR_BLOCK);
    this.#output = new BlockOutput(fd, this.#reserved);
  }

  /** Offset in the image where the next data goes. */
  get position(): number {
    return this.#output.position;
  }

  createDirectory(parent: number, name: Uint8Array, attributes: Attributes): number {
    return this.#create(parent, name, modes.DIRECTORY, attributes);
  }

  /** Begins a regular file of `size` bytes; `write` and `hole` give its content, `closeFile` ends it. */
  createFile(parent: number, name: Uint8Array, file: Attributes & { size: number }): number {
    assert(this.#file === undefined, "one file is written at a time");
    if (file.size > FILE_MAX_BYTES) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot write a file of ${file.size} bytes: too large for ext4`,
      );
    }
    const node = this.#create(parent, name, modes.REGULAR, file);
    this.tree.setSize(this.tree.inodeOf(node), file.size);
    if (file.size > 0) this.#file = new FileContent(this.#output, file.size);
    return node;
  }

  /** Appends to the open file. */
  write(bytes: Uint8Array): void {
    this.#file?.write(bytes);
  }

  /** Continues the open file at `offset`; the gap reads as zeros. */
  hole(offset: number): void {
    this.#file?.hole(offset);
  }

  closeFile(node: number): void {
    const runs = this.#file?.close() ?? [];
    this.#file = undefined;
    const inode = this.tree.inodeOf(node);
    const only = runs[0];
    if (runs.length === 1 && only?.logical === 0) {
      this.tree.setRun(inode, only.physical, only.count);
    } else if (runs.length > 0) {
      this.#sparse.set(inode, runs);
      this.#sparseRuns += runs.length;
      if (this.#sparseRuns > SPARSE_RUNS_MAX) {
        throw new BangerError(
          "limit_exceeded",
          `Cannot write the file system: sparse files have more than ${SPARSE_RUNS_MAX} extents`,
        );
      }
    }
  }

  createSymlink(
    parent: number,
    name: Uint8Array,
    link: Attributes & { target: Uint8Array },
  ): number {
    const length = link.target.length;
    assert(length > 0 && length <= SYMLINK_MAX_BYTES, "a link target is 1 to 4095 bytes");
    const node = this.#create(parent, name, modes.SYMLINK, link);
    const inode = this.tree.inodeOf(node);
    this.tree.setSize(inode, length);
    this.tree.setAux(inode, this.tree.keepBytes(link.target));
    if (length >= FAST_SYMLINK_END_BYTES) {
      this.tree.setRun(inode, this.#output.block, 1);
      this.#output.write(link.target);
      this.#output.padToBlock();
    }
    return node;
  }

  /** `major` below 4096, `minor` below 2^20. */
  createDevice(
    parent: number,
    name: Uint8Array,
    device: Attributes & { type: "character" | "block"; major: number; minor: number },
  ): number {
    assert(device.major < 2 ** 12 && device.minor < 2 ** 20, "a device number fits 32 bits");
    const type = device.type === "block" ? modes.BLOCK : modes.CHARACTER;
    const node = this.#create(parent, name, type, device);
    this.tree.setAux(this.tree.inodeOf(node), device.major * 2 ** 20 + device.minor);
    return node;
  }

  createFifo(parent: number, name: Uint8Array, attributes: Attributes): number {
    return this.#create(parent, name, modes.FIFO, attributes);
  }

  /** The target of a symbolic link: a view, not a copy. */
  targetOf(node: number): Uint8Array {
    const inode = this.tree.inodeOf(node);
    return this.tree.bytesAt(this.tree.aux(inode), this.tree.sizeOf(inode));
  }

  /** Removes a name; a directory with everything below it. */
  remove(node: number): void {
    const stack = [node];
    while (stack.length > 0) {
      const top = stack[stack.length - 1] as number;
      const children = this.tree.isDirectory(top) ? this.tree.children(top) : [];
      if (children.length > 0) {
        for (const child of children) stack.push(child);
        continue;
      }
      stack.pop();
      this.#removeOne(top);
    }
  }

  /** Waits until few writes are pending; await it between the pieces of the input. */
  drain(): Promise<void> {
    return this.#output.drain();
  }

  /** Waits for pending writes, so that the file can be closed after a failure. */
  settle(): Promise<void> {
    return this.#output.settle();
  }

  /** Writes all metadata and sets the file's size. Nothing can be added after it. */
  async finish(options: FinishOptions = {}): Promise<WrittenImage> {
    assert(this.#file === undefined, "the last file is closed");
    const written = await writeMetadata({
      fd: this.#fd,
      tree: this.tree,
      output: this.#output,
      identity: this.#identity,
      label: this.#label,
      reserved: this.#reserved,
      sparse: this.#sparse,
      freed: this.#freed,
      freeSpace_bytes: options.freeSpace_bytes ?? 0,
      signal: options.signal,
    });
    await this.#output.finish();
    throwIfAborted(options.signal);
    const size_bytes = written.blocks * BLOCK_BYTES;
    setFileSize(this.#fd, size_bytes);
    for (const { start, blocks } of this.#freed) {
      punchHole(this.#fd, start * BLOCK_BYTES, blocks * BLOCK_BYTES);
    }
    return {
      size_bytes,
      allocated_bytes: fstatSync(this.#fd).blocks * 512,
      inodes: written.inodes,
      droppedXattrs: written.droppedXattrs,
    };
  }

  #create(parent: number, name: Uint8Array, type: number, attributes: Attributes): number {
    const node = this.tree.create(parent, name, type);
    this.tree.setAttributes(node, attributes);
    return node;
  }

  #removeOne(node: number): void {
    const inode = this.tree.inodeOf(node);
    const run = this.tree.remove(node);
    if (run === undefined) return;
    if (run.blocks > 0) this.#freed.push(run);
    for (const { physical, count } of this.#sparse.get(inode) ?? []) {
      this.#freed.push({ start: physical, blocks: count });
    }
    this.#sparse.delete(inode);
  }
}

/** The content of one file: block after block of the output, with a new run after each hole. */
class FileContent {
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

  /** Skips forward to `offset`. */
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

  /** Fills what was not written with a hole, and returns the runs. */
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
