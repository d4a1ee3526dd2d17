/**
 * The file system of a kernel's modules, which every machine of the kernel mounts read-only at
 * /lib/modules/RELEASE. Modules are uncompressed in it, so that neither the guest's modprobe nor its kernel needs a
 * decompressor. The same modules give the same bytes.
 */
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import type { OnProgress } from "#base/progress.ts";
import { MiB } from "#base/size.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { ROOT_NODE } from "#ext4/write/tree.ts";
import { Ext4Writer } from "#ext4/write/writer.ts";
import {
  isModule,
  type ModuleTree,
  openModuleTree,
  parseModuleInfo,
  readModules,
} from "#kernels/modules.ts";
import { type IndexedModule, indexFiles } from "./index-files.ts";

/** Part of the image's identity: grows when the same modules are written in another way. */
const FORMAT = 1;
const MAX_LIST_BYTES = 16 * MiB;
const FILE = { mode: 0o644, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };
const FOLDER = { ...FILE, mode: 0o755 };

interface ImageOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** Writes the modules of `root`, a /lib/modules/RELEASE, to the file `path`. False if there are none. */
export async function writeModuleImage(
  root: string,
  path: string,
  options: ImageOptions = {},
): Promise<boolean> {
  const tree = openModuleTree(root);
  const names = inOrder(tree);
  if (names.length === 0) return false;
  const staging = stagingPath(path);
  const file = await open(staging, "wx", 0o644);
  try {
    const writer = new Ext4Writer(file.fd, { seed: seedOf(tree, names), label: "modules" });
    try {
      await fill(writer, { tree, names }, options);
      await writer.finish({ signal: options.signal });
    } finally {
      await writer.settle();
    }
    await rename(staging, path);
    return true;
  } catch (error) {
    rmSync(staging, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Identifies the content of a module image. */
export function moduleImageId(path: string): string {
  using reader = openExt4(path);
  return reader.info.uuid;
}

/** Those of modules.order first, which decides between modules with the same alias. */
function inOrder({ root, files }: ModuleTree): string[] {
  const order = readList(root, "modules.order").split("\n");
  const places = new Map(order.map((path, place) => [path.replace(/\.ko(\.\w+)?$/, ""), place]));
  const rank = (name: string): number =>
    places.get((files.get(name) ?? "").replace(/\.ko(\.\w+)?$/, "")) ?? order.length;
  return [...files.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

function seedOf({ root, files }: ModuleTree, names: readonly string[]): string {
  const parts = names.map((name) => {
    const path = files.get(name) ?? "";
    return [path, sha256(readFileSync(join(root, path)))];
  });
  return sha256(JSON.stringify([FORMAT, parts]));
}

async function fill(
  writer: Ext4Writer,
  { tree, names }: { tree: ModuleTree; names: readonly string[] },
  { signal, onProgress }: ImageOptions,
): Promise<void> {
  const folders = new Map<string, number>([["", ROOT_NODE]]);
  const folderOf = (path: string): number => {
    const known = folders.get(path);
    if (known !== undefined) return known;
    const [above, name] = splitLast(path);
    const made = writer.createDirectory(folderOf(above), Buffer.from(name), FOLDER);
    folders.set(path, made);
    return made;
  };
  const put = async (path: string, data: Uint8Array): Promise<void> => {
    const [above, name] = splitLast(path);
    const own = { ...FILE, size: data.length };
    const node = writer.createFile(folderOf(above), Buffer.from(name), own);
    writer.write(data);
    writer.closeFile(node);
    await writer.drain();
  };
  const modules: IndexedModule[] = [];
  const message = "Writing the module image";
  let done = 0;
  for await (const { name, data } of readModules(tree, names, signal)) {
    throwIfAborted(signal);
    const path = (tree.files.get(name) ?? "").replace(/\.ko\.\w+$/, ".ko");
    // As depmod does with a file that cannot be loaded.
    if (isModule(data)) modules.push({ name, path, ...parseModuleInfo(data) });
    await put(path, data);
    onProgress?.({ step: "image", message, done: ++done, total: names.length, unit: "items" });
  }
  const lists = {
    builtin: readList(tree.root, "modules.builtin"),
    modinfo: readList(tree.root, "modules.builtin.modinfo"),
  };
  for (const [name, data] of indexFiles(modules, lists)) await put(name, data);
}

function readList(root: string, name: string): string {
  const path = join(root, name);
  if (!existsSync(path)) return "";
  if (statSync(path).size <= MAX_LIST_BYTES) return readFileSync(path, "utf8");
  throw new BangerError("limit_exceeded", `Cannot read "${path}": too large`);
}

function splitLast(path: string): [string, string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
}
