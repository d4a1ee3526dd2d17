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
const BATCH_MODULES = 200;
const MAX_BATCH_BYTES = 512 * MiB;

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
  /** Soft dependencies to be loaded first: names or aliases of modules. */
  softDepends: string[];
  /** All soft dependencies, as in "softdep" lines of modprobe.d: "pre: a b post: c". */
  softdeps: string[];
  /** Patterns of what the kernel requests, "net-pf-10". */
  aliases: string[];
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

export function isModule(elf: Uint8Array): boolean {
  return elfSection(elf, ".modinfo") !== undefined;
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
    softdeps: valuesOf("softdep"),
    aliases: valuesOf("alias"),
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
  let aliases: ReadonlyMap<string, string[]> | undefined;
  while (round.length > 0) {
    throwIfAborted(options.signal);
    for (const [name, info] of await readInfos(tree, round, options.signal)) infos.set(name, info);
    const needed = new Set<string>();
    for (const name of round) {
      const info = infos.get(name);
      if (!info) continue;
      // "crc32c" is an alias of several modules, in different kernels of different ones.
      if (info.softDepends.some((need) => !isKnown(tree, need))) {
        aliases ??= await plainAliases(tree, options.signal);
        info.softDepends = info.softDepends.flatMap((need) =>
          isKnown(tree, need) ? [need] : (aliases?.get(need) ?? []),
        );
      }
      for (const need of [...info.depends, ...info.softDepends]) needed.add(need);
    }
    round = [...needed].filter((name) => tree.files.has(name) && !infos.has(name));
  }
  return sortByNeed(tree, infos, wanted.map(normalize));
}

function isKnown({ files, builtin }: ModuleTree, name: string): boolean {
  return files.has(name) || builtin.has(name);
}

/** Modules by aliases without wildcards, of depmod's list if the tree has one. */
async function plainAliases(
  tree: ModuleTree,
  signal: AbortSignal | undefined,
): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  const add = (alias: string, module: string): void => {
    const key = normalize(alias);
    const modules = found.get(key) ?? [];
    if (tree.files.has(module) && !modules.includes(module)) found.set(key, [...modules, module]);
  };
  const list = join(tree.root, "modules.alias");
  if (existsSync(list)) {
    const lines = readFileSync(list, "utf8").matchAll(/^alias ([\w:.-]+) (\S+)$/gm);
    for (const [, alias = "", module = ""] of lines) add(alias, normalize(module));
  } else {
    for (const [name, info] of await readInfos(tree, [...tree.files.keys()], signal)) {
      for (const alias of info.aliases) if (/^[\w:.-]+$/.test(alias)) add(alias, name);
    }
  }
  return found;
}

async function readInfos(
  tree: ModuleTree,
  names: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, ModuleInfo>> {
  const infos = new Map<string, ModuleInfo>();
  for await (const { name, data } of readModules(tree, names, signal)) {
    infos.set(name, parseModuleInfo(data));
  }
  return infos;
}

/** Yields the uncompressed modules, in the order of `names`. One process decompresses many of them. */
export async function* readModules(
  tree: ModuleTree,
  names: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<{ name: string; data: Uint8Array }> {
  for (let start = 0; start < names.length; start += BATCH_MODULES) {
    throwIfAborted(signal);
    const batch = names.slice(start, start + BATCH_MODULES);
    const paths = batch.map((name) => join(tree.root, tree.files.get(name) ?? ""));
    const xz = paths.filter((path) => path.endsWith(".xz"));
    const unpacked = xz.length > 1 ? await readXz(xz, signal) : undefined;
    for (const [index, name] of batch.entries()) {
      const path = paths[index] ?? "";
      yield { name, data: unpacked?.get(path) ?? (await readModule(path, signal)) };
    }
  }
}

/** `xz -dc` writes one file after the other; `xz --list` has their sizes. */
async function readXz(
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, Uint8Array>> {
  const none = new Uint8Array(0);
  const limit = { max_bytes: MAX_BATCH_BYTES, signal };
  const list = await filterBytes(["xz", "--robot", "--list", "--", ...paths], none, limit);
  const rows = Buffer.from(list)
    .toString()
    .matchAll(/^file\t\d+\t\d+\t\d+\t(\d+)\t/gm);
  const sizes = Array.from(rows, ([, size]) => Number(size));
  const data = await filterBytes(["xz", "-dc", "--", ...paths], none, limit);
  if (sizes.length !== paths.length || sizes.reduce((sum, size) => sum + size, 0) !== data.length) {
    throw new BangerError("integrity", `Cannot read "${paths[0]}": not what xz lists`);
  }
  let at = 0;
  return new Map(
    paths.map((path, index) => {
      const start = at;
      at += sizes[index] ?? 0;
      return [path, data.subarray(start, at)];
    }),
  );
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
