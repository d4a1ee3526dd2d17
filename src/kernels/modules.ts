/** Reads a module tree (/lib/modules/RELEASE) and its dependencies. */
import { existsSync, readFileSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { filterBytes, unzstd } from "#base/decompress.ts";
import { BangerError } from "#base/error.ts";
import { walk } from "#base/files/walk.ts";
import { MiB } from "#base/size.ts";
import { elfSection } from "./elf.ts";

const MAX_MODULES = 20_000;
const MAX_MODULE_BYTES = 64 * MiB;
const READERS = 4;

export interface ModuleTree {
  root: string;
  /** Maps names, with "_" for "-", to paths below `root`. */
  files: ReadonlyMap<string, string>;
  /** Names of built-in modules. */
  builtin: ReadonlySet<string>;
}

export interface ModuleInfo {
  /** Hard dependencies. */
  depends: string[];
  /** Soft dependencies. */
  softDepends: string[];
}

export function openModuleTree(root: string): ModuleTree {
  const files = new Map<string, string>();
  const top = join(root, "kernel");
  for (const { path: below, entry } of existsSync(top) ? walk(top) : []) {
    if (!entry.isFile() || !/\.ko(\.(xz|zst|gz))?$/.test(entry.name)) continue;
    if (files.size >= MAX_MODULES) {
      throw new BangerError("limit_exceeded", `Cannot read "${top}": over ${MAX_MODULES} modules`);
    }
    files.set(moduleName(entry.name), join("kernel", below));
  }
  const builtinPath = join(root, "modules.builtin");
  const builtin = existsSync(builtinPath) ? readFileSync(builtinPath, "utf8").split("\n") : [];
  return { root, files, builtin: new Set(builtin.filter(Boolean).map(moduleName)) };
}

/** "…/virtio-rng.ko.xz" is module "virtio_rng". */
export function moduleName(path: string): string {
  return normalize(basename(path).replace(/\.ko(\.\w+)?$/, ""));
}

/** The uncompressed module. */
export async function readModule(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  if ((await stat(path)).size > MAX_MODULE_BYTES) {
    throw new BangerError("limit_exceeded", `Cannot read "${path}": too large`);
  }
  const bytes = await readFile(path);
  const limit = { max_bytes: MAX_MODULE_BYTES, signal };
  if (path.endsWith(".gz")) return gunzipSync(bytes, { maxOutputLength: MAX_MODULE_BYTES });
  if (path.endsWith(".zst")) return await unzstd(bytes, limit);
  if (!path.endsWith(".xz")) return bytes;
  return await filterBytes(["xz", "-dc"], bytes, limit);
}

/** Parses the .modinfo section: NUL-terminated "key=value" strings. */
export function parseModuleInfo(elf: Uint8Array): ModuleInfo {
  const section = elfSection(elf, ".modinfo");
  if (!section) throw new BangerError("integrity", "Cannot read the module: no .modinfo section");
  const texts = new TextDecoder("latin1").decode(section).split("\0");
  const valuesOf = (key: string): string[] =>
    texts.filter((text) => text.startsWith(`${key}=`)).map((text) => text.slice(key.length + 1));
  const names = (list: string, separator: string): string[] =>
    list.split(separator).filter(Boolean).map(normalize);
  return {
    depends: valuesOf("depends").flatMap((list) => names(list, ",")),
    softDepends: valuesOf("softdep").flatMap((text) =>
      names(/\bpre:\s*((?:(?!post:).)*)/.exec(text)?.[1]?.trim() ?? "", " "),
    ),
  };
}

/**
 * `wanted` and their dependencies in load order, without built-in ones. Unknown names are omitted and passed to
 * `onMissing`; a missing dependency of an existing module is an `integrity` error.
 */
export async function loadOrder(
  tree: ModuleTree,
  wanted: readonly string[],
  options: { signal?: AbortSignal | undefined; onMissing?: (name: string) => void } = {},
): Promise<string[]> {
  const infos = new Map<string, ModuleInfo>();
  let round = wanted.map(normalize).filter((name) => {
    if (tree.files.has(name)) return true;
    if (!tree.builtin.has(name)) options.onMissing?.(name);
    return false;
  });
  while (round.length > 0) {
    throwIfAborted(options.signal);
    await readInfos(tree, round, { infos, signal: options.signal });
    const needed = round.flatMap((name) => {
      const info = infos.get(name);
      return [...(info?.depends ?? []), ...(info?.softDepends ?? [])];
    });
    round = [...new Set(needed)].filter((name) => tree.files.has(name) && !infos.has(name));
  }
  return sortByNeed(tree, infos, wanted.map(normalize));
}

async function readInfos(
  tree: ModuleTree,
  names: readonly string[],
  options: { infos: Map<string, ModuleInfo>; signal: AbortSignal | undefined },
): Promise<void> {
  const queue = [...names];
  const read = async (): Promise<void> => {
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      const path = join(tree.root, tree.files.get(name) ?? "");
      options.infos.set(name, parseModuleInfo(await readModule(path, options.signal)));
    }
  };
  await Promise.all(Array.from({ length: READERS }, read));
}

function sortByNeed(
  tree: ModuleTree,
  infos: ReadonlyMap<string, ModuleInfo>,
  wanted: readonly string[],
): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const visit = (name: string): void => {
    const info = infos.get(name);
    if (!info || seen.has(name)) return;
    seen.add(name);
    for (const need of info.depends) {
      if (!infos.has(need) && !tree.builtin.has(need)) {
        const text = `Cannot use module "${name}": missing dependency "${need}"`;
        throw new BangerError("integrity", text);
      }
    }
    for (const need of [...info.depends, ...info.softDepends]) visit(need);
    order.push(name);
  };
  for (const name of wanted) visit(name);
  return order;
}

function normalize(name: string): string {
  return name.replaceAll("-", "_");
}
