/** Random stacks of layers, beside a plain model of what unpacking one over the other means. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { modes } from "#ext4/format.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";
import { build } from "#test/rootfs-build.ts";
import { dir, file, hardLink, symlink, type TarSpec } from "#test/tar-build.ts";

interface Leaf {
  kind: "leaf";
  text: string;
  layer: number;
  /** Names that share it share this object. */
  inode: { text: string };
}

interface Folder {
  kind: "folder";
  mode: number;
  layer: number;
  children: Map<string, Leaf | Folder>;
}

interface Op {
  kind: "file" | "folder" | "symlink" | "hardLink" | "remove" | "opaque";
  path: string[];
  number: number;
}

const name = fc.constantFrom("a", "b", "c");
const op: fc.Arbitrary<Op> = fc.record({
  kind: fc.constantFrom(
    "file",
    "file",
    "folder",
    "folder",
    "symlink",
    "hardLink",
    "remove",
    "opaque",
  ),
  path: fc.array(name, { minLength: 1, maxLength: 3 }),
  number: fc.nat(0o777),
});

test("every stack of layers is the tree that the model says", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(op, { maxLength: 14 }), { maxLength: 4 }),
      fc.infiniteStream(fc.nat()),
      async (layers, places) => {
        const root = newFolder(0o755, 0);
        const specs = layers.map((ops, index) =>
          applyLayer(root, ops, { layer: index + 1, places }),
        );
        using reader = await build(...specs);
        expect(seen(reader)).toEqual(expected(root));
      },
    ),
    { numRuns: 200 },
  );
});

/** Changes the model as the layer does and gives the layer's entries, its whiteouts anywhere among them. */
function applyLayer(
  root: Folder,
  ops: readonly Op[],
  context: { layer: number; places: Iterator<number> },
): TarSpec[] {
  const { layer, places } = context;
  const entries = ops.filter(({ kind }) => kind !== "remove" && kind !== "opaque");
  const blocked = entries.filter(({ kind }) => kind !== "folder").map(({ path }) => path.join("/"));
  const marks: TarSpec[] = [];
  const marking = hasEntryThroughLink(root, ops) ? [] : ops;
  for (const { path } of marking.filter(({ kind }) => kind === "remove")) {
    const parent = walk(root, path.slice(0, -1));
    parent?.children.delete(path.at(-1) ?? "");
    marks.push(file([...path.slice(0, -1), `.wh.${path.at(-1)}`].join("/")));
  }
  const opaques = marking.filter(({ kind }) => kind === "opaque");
  for (const { path } of opaques.toSorted((a, b) => a.path.length - b.path.length)) {
    const isBlocked = path.some((_, index) => blocked.includes(path.slice(0, index + 1).join("/")));
    const target = isBlocked ? undefined : reach(root, path, layer);
    if (target) {
      for (const [key, child] of target.children) {
        if (child.layer < layer) target.children.delete(key);
      }
      marks.push(file([...path, ".wh..wh..opq"].join("/")));
    }
  }
  const specs = entries.flatMap((each) => applyEntry(root, each, layer));
  for (const mark of marks) {
    specs.splice((places.next().value as number) % (specs.length + 1), 0, mark);
  }
  return specs;
}

function applyEntry(root: Folder, each: Op, layer: number): TarSpec[] {
  const { kind, path, number } = each;
  const link = kind === "hardLink" ? pick(root, number) : undefined;
  const key = path.at(-1) ?? "";
  const full = path.join("/");
  // A link cannot stand in the place of its own target, nor below it.
  const isOver = link?.path.startsWith(`${full}/`) || full.startsWith(`${link?.path}/`);
  if (kind === "hardLink" && (!link || isOver)) return [];
  const parent = reach(root, path.slice(0, -1), layer);
  if (!parent) return [];
  const existing = parent.children.get(key);
  if (kind === "folder") {
    if (existing?.kind === "folder") Object.assign(existing, { mode: number, layer });
    else parent.children.set(key, newFolder(number, layer));
    return [dir(full, { mode: number })];
  }
  if (link) {
    if (existing && "inode" in existing && existing.inode === link.leaf.inode)
      existing.layer = layer;
    else parent.children.set(key, { ...link.leaf, layer });
    return [hardLink(full, link.path)];
  }
  const text = kind === "file" ? `= ${number}` : `-> nowhere-${number}`;
  parent.children.set(key, { kind: "leaf", text, layer, inode: { text } });
  return [kind === "file" ? file(full, `${number}`) : symlink(full, `nowhere-${number}`)];
}

/**
 * Whether an entry is below a symbolic link of a lower layer. Whether it goes through the link or
 * not then depends on what comes first, it or a whiteout of the link: such layers get no whiteouts.
 */
function hasEntryThroughLink(root: Folder, ops: readonly Op[]): boolean {
  return ops.some(({ kind, path }) => {
    const folders = kind === "opaque" ? path : path.slice(0, -1);
    return folders.some((_, index) => {
      const prefix = path.slice(0, index + 1).join("/");
      return leafAt(root, prefix)?.text.startsWith("->") ?? false;
    });
  });
}

function newFolder(mode: number, layer: number): Folder {
  return { kind: "folder", mode, layer, children: new Map() };
}

/** The folder at a path, undefined if there is none. */
function walk(root: Folder, path: readonly string[]): Folder | undefined {
  let at = root;
  for (const part of path) {
    const next = at.children.get(part);
    if (next?.kind !== "folder") return undefined;
    at = next;
  }
  return at;
}

/**
 * The folder at a path, made where it is missing or where a lower layer has a file; undefined when
 * this layer has one, or when a symbolic link is on the way.
 */
function reach(root: Folder, path: readonly string[], layer: number): Folder | undefined {
  let probe: Folder | undefined = root;
  for (const part of path) {
    const next: Leaf | Folder | undefined = probe?.children.get(part);
    if (next?.kind === "leaf" && (next.layer === layer || next.text.startsWith("->")))
      return undefined;
    probe = next?.kind === "folder" ? next : undefined;
  }
  let at = root;
  for (const part of path) {
    let next = at.children.get(part);
    if (next?.kind !== "folder") {
      next = newFolder(0o755, layer);
      at.children.set(part, next);
    }
    next.layer = layer;
    at = next;
  }
  return at;
}

function leaves(folder: Folder, path = ""): { path: string; leaf: Leaf }[] {
  return [...folder.children].flatMap(([key, child]) =>
    child.kind === "leaf"
      ? [{ path: `${path}${key}`, leaf: child }]
      : leaves(child, `${path}${key}/`),
  );
}

function pick(root: Folder, number: number): { path: string; leaf: Leaf } | undefined {
  const all = leaves(root);
  return all[number % (all.length || 1)];
}

function leafAt(root: Folder, path: string): Leaf | undefined {
  return leaves(root).find((each) => each.path === path)?.leaf;
}

/** Path → what it is; files with the number of their names. */
function expected(root: Folder): Record<string, string> {
  const result: Record<string, string> = {};
  const counts = new Map<object, number>();
  for (const { leaf } of leaves(root)) counts.set(leaf.inode, (counts.get(leaf.inode) ?? 0) + 1);
  const visit = (folder: Folder, path: string): void => {
    for (const [key, child] of folder.children) {
      const below = `${path}${key}`;
      if (child.kind === "folder") {
        result[below] = `folder ${child.mode.toString(8)}`;
        visit(child, `${below}/`);
      } else result[below] = `${child.text} x${counts.get(child.inode)}`;
    }
  };
  visit(root, "");
  return result;
}

function seen(reader: Ext4Reader): Record<string, string> {
  const result: Record<string, string> = {};
  const visit = (path: string): void => {
    for (const each of reader.list(path)) {
      const below = `${path}${Buffer.from(each.name)}`;
      const stat = reader.inode(each.inode);
      if (stat.type === modes.DIRECTORY) {
        result[below] = `folder ${stat.mode.toString(8)}`;
        visit(`${below}/`);
      } else if (stat.type === modes.SYMLINK) {
        result[below] = `-> ${Buffer.from(reader.targetOf(stat))} x${stat.links}`;
      } else result[below] = `= ${Buffer.from(reader.readFile(below))} x${stat.links}`;
    }
  };
  visit("");
  return result;
}
