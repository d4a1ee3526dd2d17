/** Where the files of packages come to be in an image: its own files, and those of packages unpacked before. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { modes } from "#ext4/format.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";
import { unsupported } from "./dpkg-state.ts";

const LINKS_FOLLOWED_MAX = 16;

type Node = { kind: "directory" | "file" } | { kind: "symlink"; target: string };

export class ImageTree {
  readonly #reader: Ext4Reader;
  readonly #added = new Map<string, Node>();
  readonly #seen = new Map<string, Node | undefined>();

  constructor(reader: Ext4Reader) {
    this.#reader = reader;
  }

  /** The path with the links in its directories followed. `unsupported` if a directory is missing. */
  place(path: string): string {
    const folder = this.#directory(posix.dirname(path), 0);
    return posix.join(folder, posix.basename(path));
  }

  /** Whether a directory, or a link to one, is at a place. */
  isDirectory(place: string): boolean {
    const node = this.#at(place);
    if (node?.kind !== "symlink") return node?.kind === "directory";
    try {
      this.#directory(place, 0);
      return true;
    } catch {
      return false;
    }
  }

  isTaken(place: string): boolean {
    return this.#at(place) !== undefined;
  }

  add(place: string, node: Node): void {
    this.#added.set(place, node);
  }

  #directory(path: string, hops: number): string {
    let at = "/";
    const names = path.split("/").filter(Boolean);
    for (const [index, name] of names.entries()) {
      const next = posix.join(at, name);
      const node = this.#at(next);
      if (node?.kind === "symlink") {
        if (hops === LINKS_FOLLOWED_MAX) throw unsupported(`links at ${path}`);
        const rest = names.slice(index + 1).join("/");
        return this.#directory(posix.join(posix.resolve(at, node.target), rest), hops + 1);
      }
      if (node?.kind !== "directory") throw unsupported(`no directory ${path}`);
      at = next;
    }
    return at;
  }

  #at(place: string): Node | undefined {
    if (place === "/") return { kind: "directory" };
    const added = this.#added.get(place);
    if (added || this.#seen.has(place)) return added ?? this.#seen.get(place);
    const node = this.#inImage(place);
    this.#seen.set(place, node);
    return node;
  }

  #inImage(place: string): Node | undefined {
    try {
      const file = this.#reader.stat(Buffer.from(place, "latin1"));
      if (file.type === modes.DIRECTORY) return { kind: "directory" };
      if (file.type !== modes.SYMLINK) return { kind: "file" };
      const target = Buffer.from(this.#reader.targetOf(file)).toString("latin1");
      return { kind: "symlink", target };
    } catch (error) {
      if (error instanceof BangerError && error.code === "not_found") return undefined;
      throw error;
    }
  }
}
