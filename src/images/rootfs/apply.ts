/**
 * Applies the entries of one layer to the tree under construction, by the rules of the OCI image specification.
 * Layers are applied bottom first, so symbolic and hard links resolve as if the layers were unpacked over one
 * another.
 */
import { BangerError, toBangerError } from "#base/error.ts";
import { formatSize, MiB } from "#base/size.ts";
import { SYMLINK_MAX_BYTES } from "#ext4/format.ts";
import { ROOT_NODE, type Tree } from "#ext4/write/tree.ts";
import type { Ext4Writer } from "#ext4/write/writer.ts";
import { checkXattrs } from "#ext4/write/xattrs.ts";
import { parseWhiteout } from "#oci/whiteout.ts";
import { shown, type TarEntry } from "#tar/entry.ts";
import type { TarHandler } from "#tar/reader.ts";
import { PathWalker } from "./path.ts";
import { isOlder, stampOf } from "./stamp.ts";

export interface ApplyCounts {
  /** Entries of all layers so far. */
  entries: number;
  /** Bytes of their extended attributes, which stay in memory until the end. */
  xattrs_bytes: number;
}

/** Of all extended attributes together. */
const XATTRS_MAX_BYTES = 64 * MiB;
const MAJOR_MAX = 2 ** 12;
const MINOR_MAX = 2 ** 20;

/** One for each layer; `layer` counts from 1. */
export class LayerApplier implements TarHandler {
  readonly #writer: Ext4Writer;
  readonly #tree: Tree;
  readonly #layer: number;
  readonly #paths: PathWalker;
  readonly #counts: ApplyCounts;
  readonly #entriesMax: number;
  /** Directories that are opaque: without files of lower layers. */
  readonly #opaque = new Set<number>();
  /** The current file; 0 if its data is dropped. */
  #file = 0;
  #position = 0;

  constructor(
    writer: Ext4Writer,
    layer: number,
    limits: { counts: ApplyCounts; entriesMax: number },
  ) {
    this.#writer = writer;
    this.#tree = writer.tree;
    this.#layer = layer;
    this.#paths = new PathWalker(writer, layer);
    this.#counts = limits.counts;
    this.#entriesMax = limits.entriesMax;
  }

  entry(entry: TarEntry): void {
    if (++this.#counts.entries > this.#entriesMax) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot unpack the image: more than ${this.#entriesMax} entries`,
      );
    }
    this.#file = 0;
    const { parent, name } = this.#paths.split(entry.name);
    if (name.length === 0) {
      this.#setRoot(entry);
      return;
    }
    const whiteout = parseWhiteout(name);
    if (whiteout.kind === "none") this.#put(this.#paths.directory(parent, entry.name), name, entry);
    else if (whiteout.kind === "invalid") throw refused(entry, "is a whiteout without a name");
    else if (whiteout.kind === "opaque") this.#clear(this.#paths.directory(parent, entry.name));
    else if (whiteout.kind === "remove") this.#whiteOut(parent, whiteout.name);
  }

  data(bytes: Uint8Array, offset: number): void {
    if (this.#file === 0) return;
    if (offset !== this.#position) this.#writer.hole(offset);
    this.#writer.write(bytes);
    this.#position = offset + bytes.length;
  }

  end(): void {
    if (this.#file === 0) return;
    this.#writer.closeFile(this.#file);
    this.#file = 0;
  }

  #setRoot(entry: TarEntry): void {
    if (entry.type !== "directory")
      throw refused(entry, "replaces the root with something that is not a directory");
    this.#checkXattrs(entry);
    this.#tree.setAttributes(ROOT_NODE, entry);
    this.#tree.setStamp(ROOT_NODE, stampOf(this.#layer, "explicit"));
  }

  #put(parent: number, name: Uint8Array, entry: TarEntry): void {
    this.#checkXattrs(entry);
    const existing = this.#tree.lookup(parent, name);
    if (entry.type === "link") {
      this.#link(parent, name, { entry, existing });
      return;
    }
    if (existing !== 0) {
      if (entry.type === "directory" && this.#tree.isDirectory(existing)) {
        this.#tree.setAttributes(existing, entry);
        this.#tree.setStamp(existing, stampOf(this.#layer, "explicit"));
        return;
      }
      this.#paths.remove(existing);
    }
    const node = this.#create(parent, name, entry);
    this.#tree.setStamp(node, stampOf(this.#layer, "explicit"));
  }

  #create(parent: number, name: Uint8Array, entry: TarEntry): number {
    switch (entry.type) {
      case "directory":
        return this.#writer.createDirectory(parent, name, entry);
      case "symlink":
        return this.#symlink(parent, name, entry);
      case "fifo":
        return this.#writer.createFifo(parent, name, entry);
      case "character":
      case "block":
        return this.#device(parent, name, { ...entry, type: entry.type });
      default:
        this.#file = this.#writer.createFile(parent, name, entry);
        this.#position = 0;
        return this.#file;
    }
  }

  #symlink(parent: number, name: Uint8Array, entry: TarEntry): number {
    const target = entry.linkName;
    if (target.length === 0 || target.length > SYMLINK_MAX_BYTES) {
      throw refused(entry, `is a symbolic link with a target of ${target.length} bytes`);
    }
    return this.#writer.createSymlink(parent, name, { ...entry, target, mode: 0o777 });
  }

  #device(
    parent: number,
    name: Uint8Array,
    entry: TarEntry & { type: "character" | "block" },
  ): number {
    const { major, minor } = entry;
    if (major < 0 || major >= MAJOR_MAX || minor < 0 || minor >= MINOR_MAX) {
      throw refused(entry, `is a device with invalid number ${major}:${minor}`);
    }
    return this.#writer.createDevice(parent, name, entry);
  }

  #link(parent: number, name: Uint8Array, link: { entry: TarEntry; existing: number }): void {
    const { entry, existing } = link;
    const target = this.#paths.findTarget(entry.linkName, linkShown(entry));
    const problem =
      target === 0
        ? "does not exist"
        : this.#tree.isDirectory(target)
          ? "is a directory"
          : undefined;
    if (problem)
      throw refused(entry, `is a hard link to ${shown(entry.linkName)}, which ${problem}`);
    if (existing !== 0) {
      if (this.#tree.inodeOf(existing) === this.#tree.inodeOf(target)) {
        this.#tree.setStamp(existing, stampOf(this.#layer, "explicit"));
        return;
      }
      this.#paths.remove(existing);
      if (this.#tree.inodeOf(target) === 0) {
        throw refused(entry, `replaces its own target ${shown(entry.linkName)}`);
      }
    }
    const node = this.#tree.link(parent, name, target);
    this.#tree.setStamp(node, stampOf(this.#layer, "explicit"));
  }

  #whiteOut(parent: Uint8Array, name: Uint8Array): void {
    const directory = this.#paths.findDirectory(parent);
    const target = directory === 0 ? 0 : this.#tree.lookup(directory, name);
    if (target === 0) return;
    if (isOlder(this.#tree.stampOf(target), this.#layer)) this.#paths.remove(target);
    else if (this.#tree.isDirectory(target)) {
      this.#clear(target);
      this.#paths.forgetImplicit(target);
    }
  }

  /** Removes the files of lower layers from a directory, and keeps those of this layer. */
  #clear(directory: number): void {
    const stack = [directory];
    while (stack.length > 0) {
      const top = stack.pop() as number;
      if (this.#opaque.has(top)) continue;
      this.#opaque.add(top);
      for (const child of this.#tree.children(top)) {
        if (isOlder(this.#tree.stampOf(child), this.#layer)) {
          this.#paths.remove(child);
        } else if (this.#tree.isDirectory(child)) {
          this.#paths.forgetImplicit(child);
          stack.push(child);
        }
      }
    }
  }

  #checkXattrs(entry: TarEntry): void {
    if (entry.xattrs.length === 0) return;
    for (const { name, value } of entry.xattrs) {
      this.#counts.xattrs_bytes += name.length + value.length;
    }
    if (this.#counts.xattrs_bytes > XATTRS_MAX_BYTES) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot unpack the image: extended attributes take more than ${formatSize(XATTRS_MAX_BYTES)}`,
      );
    }
    try {
      checkXattrs(entry.xattrs);
    } catch (error) {
      const { code, message } = toBangerError(error);
      throw new BangerError(code, `Cannot unpack ${shown(entry.name)}: ${message}`);
    }
  }
}

/** The name of a hard link's target in messages. */
function linkShown({ name, linkName }: TarEntry): Uint8Array {
  return Buffer.concat([name, Buffer.from(" -> "), linkName]);
}

function refused(entry: TarEntry, problem: string): BangerError {
  return new BangerError("integrity", `Cannot unpack layer: ${shown(entry.name)} ${problem}`);
}
