/**
 * The file tree under construction, in memory: nodes (names in directories) and inodes, in tables of 32-bit numbers, so
 * that a file costs about 110 bytes and its name. Block numbers are only stored here; the writer assigns them.
 */
import { assert } from "#base/assert.ts";
import { BangerError } from "#base/error.ts";
import type { Attributes, Xattr } from "#ext4/attributes.ts";
import { FIRST_INODE, LINKS_MAX, modes, ROOT_INODE } from "#ext4/format.ts";
import { sipHash } from "./siphash.ts";
import { ByteStrings, RecordTable } from "./tables.ts";

/** Words of a node. `INODE` is 0 in a node that was removed; it stays in its parent's list until that is read. */
const node = { PARENT: 0, NAME: 1, NAME_BYTES: 2, INODE: 3, CHILD: 4, NEXT: 5, CHAIN: 6, STAMP: 7 };
const NODE_WORDS = 8;

/** Words of an inode. `START` and `BLOCKS`: its one run of data blocks. `AUX`: see `aux()`. */
const fields = {
  MODE: 0,
  UID: 1,
  GID: 2,
  SIZE_LO: 3,
  SIZE_HI: 4,
  MTIME_LO: 5,
  MTIME_HI: 6,
  MTIME_NS: 7,
  LINKS: 8,
  START: 9,
  BLOCKS: 10,
  AUX: 11,
};
const INODE_WORDS = 12;

export const ROOT_NODE = 1;

export interface InodeView extends Attributes {
  size: number;
  links: number;
  start: number;
  blocks: number;
  aux: number;
}

export class Tree {
  readonly #nodes = new RecordTable(NODE_WORDS);
  readonly #inodes = new RecordTable(INODE_WORDS);
  readonly #names = new ByteStrings();
  readonly #xattrs = new Map<number, readonly Xattr[]>();
  readonly #freeInodes: number[] = [];
  #buckets = new Uint32Array(1 << 12);
  #live = 0;

  constructor() {
    this.#nodes.add();
    for (let inode = 0; inode < FIRST_INODE; inode++) this.#inodes.add();
    const root = this.#nodes.add();
    assert(root === ROOT_NODE, "the root is the first node");
    this.#nodes.set(root, node.PARENT, root);
    this.#nodes.set(root, node.INODE, ROOT_INODE);
    this.#inodes.set(ROOT_INODE, fields.AUX, root);
    this.setAttributes(root, { mode: 0o755, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 });
    this.#inodes.set(ROOT_INODE, fields.MODE, modes.DIRECTORY | 0o755);
    this.#inodes.set(ROOT_INODE, fields.LINKS, 1);
  }

  /** One more than the highest inode number in use. */
  get inodeEnd(): number {
    return this.#inodes.count;
  }

  /** One more than the highest node. */
  get nodeEnd(): number {
    return this.#nodes.count;
  }

  /** The node called `name` in a directory, 0 if there is none. */
  lookup(parent: number, name: Uint8Array): number {
    const bucket = sipHash(parent, name) & (this.#buckets.length - 1);
    let at = this.#buckets[bucket] as number;
    while (at !== 0) {
      if (
        this.#nodes.get(at, node.PARENT) === parent &&
        this.#nodes.get(at, node.NAME_BYTES) === name.length &&
        this.#names.equals(this.#nodes.get(at, node.NAME), name)
      ) {
        return at;
      }
      at = this.#nodes.get(at, node.CHAIN);
    }
    return 0;
  }

  /** Adds a name with a new inode of the type in `mode`. The name must not be taken. */
  create(parent: number, name: Uint8Array, mode: number): number {
    const inode = this.#freeInodes.pop() ?? this.#inodes.add();
    this.#inodes.set(inode, fields.MODE, mode);
    const created = this.#attach(parent, name, inode);
    if ((mode & modes.TYPE_MASK) === modes.DIRECTORY) this.#inodes.set(inode, fields.AUX, created);
    return created;
  }

  /** An inode without a name, for the value of an extended attribute of `size` bytes. */
  createValueInode(size: number): number {
    const inode = this.#freeInodes.pop() ?? this.#inodes.add();
    this.#inodes.set(inode, fields.MODE, modes.REGULAR | 0o600);
    this.#inodes.set(inode, fields.LINKS, 1);
    this.setSize(inode, size);
    return inode;
  }

  /** Adds another name for the inode of `target`. The name must not be taken. */
  link(parent: number, name: Uint8Array, target: number): number {
    const inode = this.inodeOf(target);
    if (this.#inodes.get(inode, fields.LINKS) >= LINKS_MAX) {
      throw new BangerError(
        "unsupported",
        `Cannot link "${this.pathOf(target)}": ext4 allows ${LINKS_MAX} links to a file`,
      );
    }
    return this.#attach(parent, name, inode);
  }

  /**
   * Removes a name that is not a directory with children. When it was the inode's last, the inode
   * is freed and its blocks are returned, for the writer to free as well.
   */
  remove(target: number): { start: number; blocks: number } | undefined {
    assert(target !== ROOT_NODE, "the root stays");
    this.#unchain(target);
    const inode = this.inodeOf(target);
    this.#nodes.set(target, node.INODE, 0);
    const links = this.#inodes.get(inode, fields.LINKS) - 1;
    this.#inodes.set(inode, fields.LINKS, links);
    if (links > 0) return undefined;
    const run = this.run(inode);
    this.#inodes.clear(inode);
    this.#xattrs.delete(inode);
    this.#freeInodes.push(inode);
    return run;
  }

  setAttributes(target: number, attributes: Attributes): void {
    const inode = this.inodeOf(target);
    const type = this.#get(inode, fields.MODE) & modes.TYPE_MASK;
    this.#inodes.set(inode, fields.MODE, type | (attributes.mode & 0o7777));
    this.#inodes.set(inode, fields.UID, attributes.uid);
    this.#inodes.set(inode, fields.GID, attributes.gid);
    this.#inodes.set(inode, fields.MTIME_LO, attributes.mtime_s);
    this.#inodes.set(inode, fields.MTIME_HI, Math.floor(attributes.mtime_s / 2 ** 32));
    this.#inodes.set(inode, fields.MTIME_NS, attributes.mtime_ns);
    if (attributes.xattrs && attributes.xattrs.length > 0) {
      this.#xattrs.set(inode, attributes.xattrs);
    } else {
      this.#xattrs.delete(inode);
    }
  }

  /** File type bits of the node's inode, one of `modes`. */
  typeOf(target: number): number {
    return this.#get(this.inodeOf(target), fields.MODE) & modes.TYPE_MASK;
  }

  isDirectory(target: number): boolean {
    return this.typeOf(target) === modes.DIRECTORY;
  }

  inodeOf(target: number): number {
    return this.#nodes.get(target, node.INODE);
  }

  parentOf(target: number): number {
    return this.#nodes.get(target, node.PARENT);
  }

  nameOf(target: number): Uint8Array {
    return this.#names.get(
      this.#nodes.get(target, node.NAME),
      this.#nodes.get(target, node.NAME_BYTES),
    );
  }

  /** "/usr/bin/env", for messages; bytes that are not UTF-8 are shown as replacement characters. */
  pathOf(target: number): string {
    const parts: string[] = [];
    for (let at = target; at !== ROOT_NODE; at = this.parentOf(at)) {
      parts.push(new TextDecoder().decode(this.nameOf(at)));
    }
    return `/${parts.reverse().join("/")}`;
  }

  /** A number for the caller's own use, 0 in a new node. */
  stampOf(target: number): number {
    return this.#nodes.get(target, node.STAMP);
  }

  setStamp(target: number, stamp: number): void {
    this.#nodes.set(target, node.STAMP, stamp);
  }

  /** The nodes in a directory, in the order in which they were added. */
  children(parent: number): number[] {
    const result: number[] = [];
    let previous = 0;
    let at = this.#nodes.get(parent, node.CHILD);
    while (at !== 0) {
      const next = this.#nodes.get(at, node.NEXT);
      if (this.inodeOf(at) !== 0) {
        result.push(at);
        previous = at;
      } else if (previous === 0) {
        this.#nodes.set(parent, node.CHILD, next);
      } else {
        this.#nodes.set(previous, node.NEXT, next);
      }
      at = next;
    }
    return result.reverse();
  }

  /** Stores a byte string such as a link target; `bytesAt` reads it by the returned reference. */
  keepBytes(bytes: Uint8Array): number {
    return this.#names.add(bytes);
  }

  bytesAt(reference: number, length: number): Uint8Array {
    return this.#names.get(reference, length);
  }

  sizeOf(inode: number): number {
    return this.#get(inode, fields.SIZE_HI) * 2 ** 32 + this.#get(inode, fields.SIZE_LO);
  }

  setSize(inode: number, size: number): void {
    this.#inodes.set(inode, fields.SIZE_LO, size);
    this.#inodes.set(inode, fields.SIZE_HI, Math.floor(size / 2 ** 32));
  }

  setRun(inode: number, start: number, blocks: number): void {
    this.#inodes.set(inode, fields.START, start);
    this.#inodes.set(inode, fields.BLOCKS, blocks);
  }

  run(inode: number): { start: number; blocks: number } {
    return { start: this.#get(inode, fields.START), blocks: this.#get(inode, fields.BLOCKS) };
  }

  /** For a finished directory: two plus its subdirectories. */
  setLinks(inode: number, links: number): void {
    this.#inodes.set(inode, fields.LINKS, links);
  }

  /** For a symbolic link the reference to its target, for a device its number, for a directory its node. */
  aux(inode: number): number {
    return this.#get(inode, fields.AUX);
  }

  setAux(inode: number, value: number): void {
    this.#inodes.set(inode, fields.AUX, value);
  }

  isUsed(inode: number): boolean {
    return this.#get(inode, fields.LINKS) > 0;
  }

  modeOf(inode: number): number {
    return this.#get(inode, fields.MODE);
  }

  inode(number: number): InodeView {
    const get = (field: number): number => this.#inodes.get(number, field);
    return {
      mode: get(fields.MODE),
      uid: get(fields.UID),
      gid: get(fields.GID),
      size: this.sizeOf(number),
      mtime_s: (get(fields.MTIME_HI) | 0) * 2 ** 32 + get(fields.MTIME_LO),
      mtime_ns: get(fields.MTIME_NS),
      links: get(fields.LINKS),
      start: get(fields.START),
      blocks: get(fields.BLOCKS),
      aux: get(fields.AUX),
      xattrs: this.#xattrs.get(number),
    };
  }

  /** Inodes with extended attributes, in the order in which they got them. */
  inodesWithXattrs(): Iterable<[number, readonly Xattr[]]> {
    return this.#xattrs;
  }

  #get(inode: number, field: number): number {
    return this.#inodes.get(inode, field);
  }

  #attach(parent: number, name: Uint8Array, inode: number): number {
    const created = this.#nodes.add();
    this.#nodes.set(created, node.PARENT, parent);
    this.#nodes.set(created, node.NAME, this.#names.add(name));
    this.#nodes.set(created, node.NAME_BYTES, name.length);
    this.#nodes.set(created, node.INODE, inode);
    this.#nodes.set(created, node.NEXT, this.#nodes.get(parent, node.CHILD));
    this.#nodes.set(parent, node.CHILD, created);
    this.#inodes.set(inode, fields.LINKS, this.#get(inode, fields.LINKS) + 1);
    if (++this.#live > this.#buckets.length) this.#grow();
    this.#chain(created, name);
    return created;
  }

  #chain(target: number, name: Uint8Array): void {
    const bucket = sipHash(this.parentOf(target), name) & (this.#buckets.length - 1);
    this.#nodes.set(target, node.CHAIN, this.#buckets[bucket] as number);
    this.#buckets[bucket] = target;
  }

  #unchain(target: number): void {
    const hash = sipHash(this.parentOf(target), this.nameOf(target));
    const bucket = hash & (this.#buckets.length - 1);
    const next = this.#nodes.get(target, node.CHAIN);
    this.#live--;
    let at = this.#buckets[bucket] as number;
    if (at === target) {
      this.#buckets[bucket] = next;
      return;
    }
    while (at !== 0) {
      const following = this.#nodes.get(at, node.CHAIN);
      if (following === target) {
        this.#nodes.set(at, node.CHAIN, next);
        return;
      }
      at = following;
    }
    assert(false, "a removed node is in its bucket");
  }

  #grow(): void {
    this.#buckets = new Uint32Array(this.#buckets.length * 4);
    for (let at = 2; at < this.#nodes.count - 1; at++) {
      if (this.inodeOf(at) !== 0) this.#chain(at, this.nameOf(at));
    }
  }
}
