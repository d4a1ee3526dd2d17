/** Resolves the paths of tar entries to nodes of the tree, as in a chroot. */
import { BangerError } from "#base/error.ts";
import type { Attributes } from "#ext4/attributes.ts";
import { modes, NAME_MAX_BYTES } from "#ext4/format.ts";
import { ROOT_NODE, type Tree } from "#ext4/write/tree.ts";
import type { Ext4Writer } from "#ext4/write/writer.ts";
import { shown } from "#tar/entry.ts";
import { isImplicit, isOlder, stampOf } from "./stamp.ts";

/** As in Linux. */
const LINKS_FOLLOWED_MAX = 40;
/** Size of the cache of directories, at most 16 MiB of paths. */
const KNOWN_MAX = 4096;
const SLASH = 0x2f;
const DOT = 0x2e;
const DOTS = Buffer.from("..");
const SEPARATOR = Buffer.from("/");
/** Attributes of a directory without an entry of its own. */
const implicitAttributes: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };

export class PathWalker {
  readonly #writer: Ext4Writer;
  readonly #tree: Tree;
  readonly #layer: number;
  /** Cache of directories of this layer, by path as latin1; cleared when anything is removed. */
  readonly #known = new Map<string, number>();

  constructor(writer: Ext4Writer, layer: number) {
    this.#writer = writer;
    this.#tree = writer.tree;
    this.#layer = layer;
  }

  /** The last component of a path (empty for the root) and its parent. `entry` is for messages. */
  split(given: Uint8Array, entry = given): { parent: Uint8Array; name: Uint8Array } {
    const path = withoutDots(given);
    let end = path.length;
    for (;;) {
      while (end > 0 && path[end - 1] === SLASH) end--;
      if (path[end - 1] !== DOT || (end > 1 && path[end - 2] !== SLASH)) break;
      end--;
    }
    const slash = path.lastIndexOf(SLASH, end - 1);
    const start = end === 0 ? 0 : slash + 1;
    const name = path.subarray(start, end);
    checkName(name, entry);
    return { parent: path.subarray(0, start), name };
  }

  /**
   * The directory at `parent`, created if missing; every directory on the path is marked as used by this layer.
   * `entry` is for messages.
   */
  directory(parent: Uint8Array, entry: Uint8Array): number {
    const key = Buffer.from(parent.buffer, parent.byteOffset, parent.length).toString("latin1");
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#touch(ROOT_NODE);
    const node = this.#walk(parent, { makes: true, entry });
    if (this.#known.size === KNOWN_MAX) this.#known.clear();
    this.#known.set(key, node);
    return node;
  }

  /** The directory at `parent`; 0 if it does not exist. */
  findDirectory(parent: Uint8Array): number {
    return this.#walk(parent, { makes: false, entry: parent });
  }

  /** The target of the hard link `entry`; 0 if it does not exist. A final symbolic link is not followed. */
  findTarget(path: Uint8Array, entry: Uint8Array): number {
    const { parent, name } = this.split(path, entry);
    const directory = this.#walk(parent, { makes: false, entry });
    if (directory === 0) return 0;
    return name.length === 0 ? directory : this.#tree.lookup(directory, name);
  }

  remove(node: number): void {
    this.#known.clear();
    this.#writer.remove(node);
  }

  /** Resets the attributes of directories that this layer only implies. */
  forgetImplicit(node: number): void {
    if (isImplicit(this.#tree.stampOf(node))) this.#tree.setAttributes(node, implicitAttributes);
  }

  #walk(path: Uint8Array, options: { makes: boolean; entry: Uint8Array }): number {
    const queue = split(path);
    queue.reverse();
    let node = ROOT_NODE;
    let followed = 0;
    while (queue.length > 0) {
      const name = queue.pop() as Uint8Array;
      if (equal(name, DOTS)) {
        node = this.#tree.parentOf(node);
        continue;
      }
      const next = this.#tree.lookup(node, name);
      if (next !== 0 && this.#tree.typeOf(next) === modes.SYMLINK) {
        if (++followed > LINKS_FOLLOWED_MAX)
          throw refused(options.entry, "has too many links in its path");
        const target = this.#writer.targetOf(next);
        if (target[0] === SLASH) node = ROOT_NODE;
        queue.push(...split(target).reverse());
        continue;
      }
      const { makes, entry } = options;
      const step = this.#step(node, name, { next, isThroughLink: followed > 0, makes, entry });
      if (step === 0) return 0;
      node = step;
    }
    return node;
  }

  /** One component that is not a symbolic link. */
  #step(
    parent: number,
    name: Uint8Array,
    options: { next: number; isThroughLink: boolean; makes: boolean; entry: Uint8Array },
  ): number {
    const { next, makes } = options;
    if (next !== 0 && this.#tree.isDirectory(next)) {
      if (makes) this.#touch(next);
      return next;
    }
    if (!makes) return 0;
    if (next !== 0) {
      const isLower = isOlder(this.#tree.stampOf(next), this.#layer);
      if (!isLower || options.isThroughLink) {
        throw refused(options.entry, `is below ${shown(name)}, which is not a directory`);
      }
      this.remove(next);
    }
    checkName(name, options.entry);
    const made = this.#writer.createDirectory(parent, name, implicitAttributes);
    this.#tree.setStamp(made, stampOf(this.#layer, "implicit"));
    return made;
  }

  #touch(node: number): void {
    if (isOlder(this.#tree.stampOf(node), this.#layer)) {
      this.#tree.setStamp(node, stampOf(this.#layer, "implicit"));
    }
  }
}

/** Resolves ".." lexically, as docker does, and never above the root: "a/../../b" is "b". */
function withoutDots(path: Uint8Array): Uint8Array {
  if (!hasDots(path)) return path;
  const kept: Uint8Array[] = [];
  for (const part of split(path)) {
    if (equal(part, DOTS)) kept.pop();
    else kept.push(part);
  }
  return Buffer.concat(kept.flatMap((part) => [SEPARATOR, part]));
}

/** Whether a component is "..". */
export function hasDots(path: Uint8Array): boolean {
  let at = path.indexOf(DOT);
  while (at >= 0 && at < path.length - 1) {
    const isStart = at === 0 || path[at - 1] === SLASH;
    const isEnd = at + 2 === path.length || path[at + 2] === SLASH;
    if (isStart && path[at + 1] === DOT && isEnd) return true;
    at = path.indexOf(DOT, at + 1);
  }
  return false;
}

/** Without empty components and ".". */
function split(path: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let start = 0;
  while (start < path.length) {
    const slash = path.indexOf(SLASH, start);
    const end = slash < 0 ? path.length : slash;
    const isDot = end === start + 1 && path[start] === DOT;
    if (end > start && !isDot) parts.push(path.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

function checkName(name: Uint8Array, entry: Uint8Array): void {
  if (name.length > NAME_MAX_BYTES) {
    throw refused(entry, `has a component of more than ${NAME_MAX_BYTES} bytes`);
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = a.length - 1; at >= 0; at--) if (a[at] !== b[at]) return false;
  return true;
}

function refused(entry: Uint8Array, problem: string): BangerError {
  return new BangerError("integrity", `Cannot unpack layer: ${shown(entry)} ${problem}`);
}
