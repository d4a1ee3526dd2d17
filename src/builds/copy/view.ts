/** Looks up the files of a stage through all its layers down to the base image, without merging them. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import { MiB } from "#base/size.ts";
import type { BuiltLayer } from "#builds/layer-file.ts";
import { modes } from "#ext4/format.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";
import { parseWhiteout } from "#oci/whiteout.ts";
import type { TarEntry } from "#tar/entry.ts";
import { TarReader } from "#tar/reader.ts";
import type { WrittenEntry } from "#tar/write.ts";
import { ImageFiles } from "./image-files.ts";

export type Kind = "directory" | "symlink" | "other";

interface Node {
  kind: Kind;
  /** Of a symbolic link. */
  target?: string;
  content?: Uint8Array;
}

/** The fields of an entry that the view uses. */
type NotedEntry = Pick<WrittenEntry, "type" | "name" | "linkName">;

interface LayerIndex {
  nodes: Map<string, Node>;
  removed: Set<string>;
  opaque: Set<string>;
}

/** Files that are read for user and group names. */
const KEPT = new Set(["etc/passwd", "etc/group"]);
const KEPT_MAX_BYTES = MiB;
const LINKS_FOLLOWED_MAX = 40;

export interface Place {
  /** Without symbolic links, relative to the root; "" is the root. */
  path: string;
  kind: Kind | undefined;
}

/** Paths are bytes in strings, relative to the root and normal. */
export class StageView {
  readonly #base: ImageFiles | undefined;
  readonly #layers: LayerIndex[] = [];

  constructor(base: Ext4Reader | undefined, below?: StageView) {
    const known = below ? below.#base : undefined;
    this.#base = base && (known?.reader === base ? known : new ImageFiles(base));
    if (below) this.#layers.push(...below.#layers);
  }

  /** Returns whether the layer deletes files. */
  async add(layer: BuiltLayer): Promise<boolean> {
    const index = emptyIndex();
    const reader = new TarReader(indexer(index));
    for await (const chunk of readChunks(layer.path)) reader.push(chunk);
    reader.finish();
    this.#layers.push(index);
    return index.removed.size > 0 || index.opaque.size > 0;
  }

  /** The same files, with a new layer on top for `note`. */
  begin(): StageView {
    const view = new StageView(this.#base?.reader, this);
    view.#layers.push(emptyIndex());
    return view;
  }

  note(entry: NotedEntry): void {
    const index = this.#layers.at(-1);
    if (index) enter(index, entry);
  }

  /** The file at `path`, whose parent directories must not be symbolic links. */
  kindAt(path: string): Kind | undefined {
    return path === "" ? "directory" : this.#node(path)?.kind;
  }

  /**
   * Resolves the symbolic links of `path`; a missing component has no kind and ends the walk. With `root`, links
   * cannot leave that directory.
   */
  resolve(path: string, { root = "" }: { root?: string } = {}): Place {
    const queue = partsOf(path).reverse();
    const top = partsOf(root);
    const trail = [...top];
    let kind: Kind | undefined = "directory";
    for (let followed = 0; queue.length > 0; ) {
      const name = queue.pop() as string;
      if (name === "..") {
        if (trail.length > top.length) trail.pop();
        kind = "directory";
        continue;
      }
      const here = [...trail, name].join("/");
      const node = this.#node(here);
      kind = node?.kind;
      if (node?.target === undefined || kind !== "symlink") {
        trail.push(name);
        continue;
      }
      if (++followed > LINKS_FOLLOWED_MAX) {
        throw new BangerError("invalid_argument", `too many levels of symbolic links: "${path}"`);
      }
      if (node.target.startsWith("/")) trail.length = top.length;
      queue.push(...partsOf(node.target).reverse());
      kind = "directory";
    }
    return { path: trail.join("/"), kind };
  }

  /** Of /etc/passwd or /etc/group. */
  read(path: "etc/passwd" | "etc/group"): Uint8Array | undefined {
    for (const layer of this.#layers.toReversed()) {
      const node = layer.nodes.get(path);
      if (node) return node.content;
      if (isHidden(layer, path)) return undefined;
    }
    try {
      return this.#base?.reader.readFile(path, KEPT_MAX_BYTES);
    } catch (error) {
      if (error instanceof BangerError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  #node(path: string): Node | undefined {
    for (const layer of this.#layers.toReversed()) {
      const node = layer.nodes.get(path);
      if (node) return node;
      if (isHidden(layer, path)) return undefined;
    }
    return this.#baseNode(path);
  }

  #baseNode(path: string): Node | undefined {
    const file = this.#base?.stat(path);
    if (!this.#base || !file) return undefined;
    if (file.type === modes.DIRECTORY) return { kind: "directory" };
    if (file.type !== modes.SYMLINK) return { kind: "other" };
    return { kind: "symlink", target: textOf(this.#base.reader.targetOf(file)) };
  }
}

/** Whether a layer without `path` hides it in the layers below. */
function isHidden(layer: LayerIndex, path: string): boolean {
  if (layer.removed.has(path)) return true;
  for (let parent = posix.dirname(path); parent !== "."; parent = posix.dirname(parent)) {
    if (layer.removed.has(parent) || layer.opaque.has(parent)) return true;
    const node = layer.nodes.get(parent);
    if (node && node.kind !== "directory") return true;
  }
  return layer.opaque.has("");
}

function indexer(index: LayerIndex) {
  let kept: { node: Node; parts: Uint8Array[]; left: number } | undefined;
  return {
    entry(entry: TarEntry): void {
      kept = undefined;
      const entered = enter(index, entry);
      if (!entered || entry.type !== "file" || !KEPT.has(entered.path)) return;
      kept = { node: entered.node, parts: [], left: KEPT_MAX_BYTES };
    },
    data(bytes: Uint8Array): void {
      const part = bytes.slice(0, kept?.left ?? 0);
      if (!kept || part.length === 0) return;
      kept.left -= part.length;
      kept.parts.push(part);
    },
    end(): void {
      if (kept) kept.node.content = Buffer.concat(kept.parts);
    },
  };
}

function emptyIndex(): LayerIndex {
  return { nodes: new Map(), removed: new Set(), opaque: new Set() };
}

/** Undefined for a whiteout. */
function enter(index: LayerIndex, entry: NotedEntry): { path: string; node: Node } | undefined {
  const path = partsOf(Buffer.from(entry.name).toString("latin1")).join("/");
  if (path === "") return undefined;
  const parent = posix.dirname(path) === "." ? "" : posix.dirname(path);
  const whiteout = parseWhiteout(Buffer.from(posix.basename(path), "latin1"));
  if (whiteout.kind === "opaque") index.opaque.add(parent);
  if (whiteout.kind === "remove") {
    const name = Buffer.from(whiteout.name).toString("latin1");
    index.removed.add(parent === "" ? name : `${parent}/${name}`);
  }
  if (whiteout.kind !== "none") return undefined;
  const node = nodeOf(entry, index);
  for (let above = parent; above !== ""; above = posix.dirname(above)) {
    if (above === "." || index.nodes.has(above)) break;
    index.nodes.set(above, { kind: "directory" });
  }
  const isReplaced = node.kind !== "directory" && index.nodes.get(path)?.kind === "directory";
  if (isReplaced) {
    for (const below of index.nodes.keys()) {
      if (below.startsWith(`${path}/`)) index.nodes.delete(below);
    }
  }
  index.nodes.set(path, node);
  return { path, node };
}

function nodeOf(entry: NotedEntry, index: LayerIndex): Node {
  if (entry.type === "directory") return { kind: "directory" };
  if (entry.type === "link") {
    const target = partsOf(textOf(entry.linkName)).join("/");
    return index.nodes.get(target) ?? { kind: "other" };
  }
  if (entry.type !== "symlink") return { kind: "other" };
  return { kind: "symlink", target: textOf(entry.linkName) };
}

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("latin1");
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}
