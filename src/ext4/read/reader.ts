/**
 * Reads an ext4, ext3 or ext2 file system in a file without mounting it. The image is untrusted: every number in it
 * is checked against the file's length and a cap before use, and checksums are verified where the file system has
 * them.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Xattr } from "#ext4/attributes.ts";
import type { BlockSet } from "#ext4/block-set.ts";
import { get16, get32 } from "#ext4/bytes.ts";
import type { Run } from "#ext4/extent-tree.ts";
import {
  group as groupAt,
  INODE_FLAG_EA_INODE,
  modes,
  ROOT_INODE,
  superblock,
} from "#ext4/format.ts";
import { groupChecksum } from "#ext4/group.ts";
import {
  type Directory,
  type DirectoryEntry,
  findEntry,
  hasEntries,
  listEntries,
  listSlowly,
} from "./directory.ts";
import { checkInode, type FileStat, parseInode } from "./inode.ts";
import { mapBlocks } from "./map.ts";
import {
  type Ext4Info,
  type Geometry,
  parseGeometry,
  parseInfo,
  type Volume,
} from "./superblock.ts";
import { parseXattrBlock, parseXattrs } from "./xattr.ts";

const FILE_MAX_DEFAULT_BYTES = 64 * MiB;
const CHUNK_BYTES = MiB;
const LINKS_FOLLOWED_MAX = 40;
const PATH_PARTS_MAX = 4096;

/** `not_found` when there is no such file, `integrity` when it is no ext4, `unsupported` for features not read here. */
export function openExt4(path: string): Ext4Reader {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw new BangerError("not_found", `Cannot open "${path}": ${error}`, { cause: error });
  }
  try {
    return new Ext4Reader(fd, path);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export class Ext4Reader implements Disposable {
  readonly info: Ext4Info;
  readonly #fd: number;
  readonly #path: string;
  readonly #geometry: Geometry;
  readonly #volume: Volume;
  #tableBlock: { number: number; bytes: Uint8Array } | undefined;

  /** Takes `fd` over. */
  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
    const bytes = this.#bytes(superblock.OFFSET, superblock.BYTES);
    const { size } = fstatSync(fd);
    this.#geometry = parseGeometry(bytes, { path, size });
    this.info = parseInfo(bytes, this.#geometry);
    this.#volume = {
      ...this.#geometry,
      block: (number) => this.#block(number),
    };
  }

  close(): void {
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** `path` from the root; symbolic links on the way are followed, one at its end is not. `not_found`. */
  stat(path: string | Uint8Array): FileStat {
    return this.inode(this.#find(path));
  }

  /** The entries of a directory in the order on disk, without "." and "..". */
  list(path: string | Uint8Array): DirectoryEntry[] {
    return listEntries(this.#directory(this.stat(path)));
  }

  isEmpty(path: string | Uint8Array): boolean {
    return !hasEntries(this.#directory(this.stat(path)));
  }

  /**
   * The same as `list`, with a turn for the event loop between slices. `runs`: of the directory.
   * `limit_exceeded` when there are more than `max`, before they are kept.
   */
  async entries(
    directory: FileStat,
    options: { runs?: readonly Run[]; max?: number } = {},
  ): Promise<DirectoryEntry[]> {
    return await listSlowly(this.#directory(directory, options.runs), options.max);
  }

  inode(number: number): FileStat {
    const g = this.#geometry;
    if (number < 1 || number > g.inodes) throw this.#damaged(`no such inode: ${number}`);
    const group = Math.floor((number - 1) / g.inodesPerGroup);
    const offset = ((number - 1) % g.inodesPerGroup) * g.inodeSize;
    const block = this.#inodeTable(group) + Math.floor(offset / g.blockSize);
    if (this.#tableBlock?.number !== block) {
      this.#tableBlock = { number: block, bytes: this.#volume.block(block) };
    }
    const start = offset % g.blockSize;
    const bytes = this.#tableBlock.bytes.slice(start, start + g.inodeSize);
    if (g.hasChecksums) checkInode(bytes, number, g.checksumSeed);
    return parseInode(bytes, number, g.blockSize);
  }

  /**
   * Where the data of a file is, in order; holes are left out. `taken`: the blocks of the files before it,
   * to which its own are added; `integrity` when one is there already.
   */
  runs(file: FileStat, taken?: BlockSet): Run[] {
    return mapBlocks(file, this.#volume, taken);
  }

  /** The data of a file, in chunks of at most 1 MiB; holes are left out. */
  *chunks(file: FileStat, runs?: readonly Run[]): Generator<{ offset: number; bytes: Uint8Array }> {
    const { blockSize } = this.#volume;
    if (file.isInline) {
      yield { offset: 0, bytes: inlineData(file) };
      return;
    }
    for (const run of runs ?? this.runs(file)) {
      const start = run.logical * blockSize;
      const end = Math.min(start + run.count * blockSize, file.size);
      for (let offset = start; offset < end; offset += CHUNK_BYTES) {
        const length = Math.min(CHUNK_BYTES, end - offset);
        yield { offset, bytes: this.#bytes(run.physical * blockSize + offset - start, length) };
      }
    }
  }

  /** A whole file. `limit_exceeded` when it is larger than `max_bytes` (default 64 MiB). */
  readFile(path: string | Uint8Array, max_bytes = FILE_MAX_DEFAULT_BYTES): Uint8Array {
    const file = this.stat(path);
    if (file.type !== modes.REGULAR) {
      throw new BangerError("invalid_argument", `Cannot read "${path}": not a regular file`);
    }
    if (file.size > max_bytes) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot read "${path}": too large: ${file.size} bytes`,
      );
    }
    const result = new Uint8Array(file.size);
    for (const { offset, bytes } of this.chunks(file)) result.set(bytes, offset);
    return result;
  }

  /** The target of a symbolic link. */
  targetOf(link: FileStat): Uint8Array {
    if (link.type !== modes.SYMLINK) {
      throw new BangerError("invalid_argument", "Cannot read link: not a symbolic link");
    }
    if (link.fastTarget) return link.fastTarget;
    if (link.size > this.#volume.blockSize) throw this.#damaged("link target too long");
    const first = this.chunks(link).next();
    if (first.done || first.value.bytes.length < link.size) {
      throw this.#damaged("missing link target");
    }
    return first.value.bytes;
  }

  /** Extended attributes with their namespaces; ACLs in the kernel's form. */
  xattrs(file: FileStat): Xattr[] {
    const readValue = (inode: number, size: number) => this.#attributeValue(inode, size);
    const inline = parseXattrs(file.xattrRoom, readValue);
    if (file.xattrBlock === 0) return inline;
    return [...inline, ...parseXattrBlock(file.xattrBlock, this.#volume, readValue)];
  }

  #attributeValue(inode: number, size: number): Uint8Array {
    const file = this.inode(inode);
    if ((file.flags & INODE_FLAG_EA_INODE) === 0 || file.size !== size) {
      throw this.#damaged("missing value of an extended attribute");
    }
    const value = new Uint8Array(size);
    for (const { offset, bytes } of this.chunks(file)) value.set(bytes, offset);
    return value;
  }

  #find(path: string | Uint8Array): number {
    const queue = partsOf(typeof path === "string" ? Buffer.from(path) : path).reverse();
    const trail = [ROOT_INODE];
    let followed = 0;
    let steps = 0;
    while (queue.length > 0) {
      if (++steps > PATH_PARTS_MAX) throw this.#damaged("path too long");
      const name = queue.pop() as Uint8Array;
      const text = Buffer.from(name).toString("latin1");
      if (text === "..") {
        if (trail.length > 1) trail.pop();
        continue;
      }
      const directory = this.inode(trail[trail.length - 1] as number);
      if (directory.type !== modes.DIRECTORY) throw absent(path);
      const found = findEntry(this.#directory(directory), name);
      if (found === undefined) throw absent(path);
      const file = this.inode(found);
      if (file.type === modes.SYMLINK && queue.length > 0) {
        if (++followed > LINKS_FOLLOWED_MAX) throw absent(path);
        const target = this.targetOf(file);
        if (target[0] === 0x2f) trail.length = 1;
        queue.push(...partsOf(target).reverse());
        continue;
      }
      trail.push(found);
    }
    return trail[trail.length - 1] as number;
  }

  #directory(file: FileStat, runs?: readonly Run[]): Directory {
    if (file.type !== modes.DIRECTORY) {
      throw new BangerError("invalid_argument", "Cannot list directory: not a directory");
    }
    if (file.isInline) throw unsupportedInline(file);
    return { file, runs: runs ?? this.runs(file), volume: this.#volume };
  }

  #inodeTable(group: number): number {
    const g = this.#geometry;
    const start = (g.firstDataBlock + 1) * g.blockSize + group * g.descriptorSize;
    const bytes = this.#bytes(start, g.descriptorSize);
    if (g.hasChecksums) {
      const stored = get16(bytes, groupAt.CHECKSUM);
      bytes.fill(0, groupAt.CHECKSUM, groupAt.CHECKSUM + 2);
      if (groupChecksum(bytes, group, g.checksumSeed) !== stored) {
        throw this.#damaged(`checksum mismatch in group ${group}`);
      }
    }
    const high = g.descriptorSize >= 64 ? get32(bytes, groupAt.INODE_TABLE_HI) : 0;
    return high * 2 ** 32 + get32(bytes, groupAt.INODE_TABLE_LO);
  }

  #block(number: number): Uint8Array {
    const { blockSize, blocks } = this.#geometry;
    if (number < 1 || number >= blocks) throw this.#damaged(`no such block: ${number}`);
    return this.#bytes(number * blockSize, blockSize);
  }

  #bytes(position: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    if (readSync(this.#fd, bytes, 0, length, position) !== length) {
      throw this.#damaged("unexpected end of file");
    }
    return bytes;
  }

  #damaged(problem: string): BangerError {
    return new BangerError("integrity", `Cannot read ext4 image "${this.#path}": ${problem}`);
  }
}

function partsOf(path: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (let end = 0; end <= path.length; end++) {
    if (end < path.length && path[end] !== 0x2f) continue;
    const isDot = end === start + 1 && path[start] === 0x2e;
    if (end > start && !isDot) parts.push(path.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

function absent(path: string | Uint8Array): BangerError {
  const text = typeof path === "string" ? path : new TextDecoder().decode(path);
  return new BangerError("not_found", `no such file in the image: "${text}"`);
}

/** The part after the first 60 bytes would be in an attribute; banger writes no such files. */
function inlineData(file: FileStat): Uint8Array {
  if (file.size > file.map.length) throw unsupportedInline(file);
  return file.map.subarray(0, file.size);
}

function unsupportedInline(file: FileStat): BangerError {
  return new BangerError(
    "unsupported",
    `Cannot read ext4 image: inode ${file.inode} uses inline data, which is not supported`,
  );
}
