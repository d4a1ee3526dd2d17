/**
 * Writes an ext4 file system front to back: file data goes to its final blocks as it arrives, all
 * metadata follows in `finish()`. There is no journal and there are no backup superblocks, so
 * nothing stands in the way of the data and the size need not be known before the end.
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
import { FilePlacement } from "./file-placement.ts";
import { writeMetadata } from "./metadata.ts";
import { BlockOutput, setFileSize } from "./output.ts";
import { Tree } from "./tree.ts";

export interface WriterOptions {
  /** The UUID and the hash seed derive from it. */
  seed: string;
  /** Room is kept for a file system of this size; default 64 GiB. */
  sizeMax_bytes?: number;
  label?: string | undefined;
}

export interface FinishOptions {
  /** Blocks that stay free for a later user of the file system; default 0. */
  freeSpace_bytes?: number;
  signal?: AbortSignal | undefined;
}

export interface WrittenImage {
  /** Length of the file. */
  size_bytes: number;
  /** What it takes on disk. */
  allocated_bytes: number;
  /** Inodes in use: files, directories and all others. */
  inodes: number;
  /** Extended attributes of namespaces that ext4 does not have, left out. */
  droppedXattrs: number;
}

const SIZE_MAX_DEFAULT_BYTES = 64 * GiB;
/** Of all files together: they stay in memory to the end. */
const SPARSE_RUNS_MAX = 1_000_000;

export class Ext4Writer {
  readonly tree = new Tree();
  readonly #fd: number;
  readonly #identity: Identity;
  readonly #label: string | undefined;
  /** Blocks kept for the superblock and the group descriptors. */
  readonly #reserved: number;
  readonly #output: BlockOutput;
  /** Runs of the files whose blocks are not one run. */
  readonly #sparse = new Map<number, Run[]>();
  #sparseRuns = 0;
  readonly #freed: { start: number; blocks: number }[] = [];
  #file: FilePlacement | undefined;

  /** `fd`: an empty file open for writing, which stays the caller's. */
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

  /** Bytes of the file up to where data goes next. */
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
    if (file.size > 0) this.#file = new FilePlacement(this.#output, file.size);
    return node;
  }

  /** The next bytes of the file under way. */
  write(bytes: Uint8Array): void {
    this.#file?.write(bytes);
  }

  /** The file goes on at `offset`; what is between reads as zeros. */
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

  /** Removes a name and, of a directory, everything below it. */
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

  /** Lets writes catch up; await it between the pieces of the input. */
  drain(): Promise<void> {
    return this.#output.drain();
  }

  /** Waits for writes under way, so that the file can be closed after a failure. */
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
