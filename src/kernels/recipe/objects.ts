/**
 * Estimates how many objects a build will compile, from `obj-$(CONFIG_…) += a.o folder/` in the kernel's makefiles.
 * Functions of make are not evaluated, so the number is a few percent off.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";

const MAX_FOLDERS = 5000;
const MAX_PARTS_DEPTH = 10;

export interface CountOptions {
  /** The kernel source. */
  tree: string;
  /** The directory in arch/. */
  srcArch: string;
  /** Value of an option, without "CONFIG_". */
  lookUp: (option: string) => string | undefined;
}

export function countObjects(options: CountOptions): number {
  const seen = new Set<string>();
  const queue = [".", `arch/${options.srcArch}`, `arch/${options.srcArch}/lib`, "lib"];
  let count = 0;
  for (let folder = queue.pop(); folder !== undefined; folder = queue.pop()) {
    if (seen.has(folder) || seen.size >= MAX_FOLDERS) continue;
    seen.add(folder);
    const lists = readMakefile(folder, options);
    if (!lists) continue;
    for (const item of [...(lists.get("obj") ?? []), ...(lists.get("lib") ?? [])]) {
      if (item.endsWith("/")) queue.push(normalize(join(folder, item)).replace(/\/$/, ""));
      else if (item.endsWith(".o")) count += partsOf(item, lists, 0);
    }
  }
  return count;
}

type Lists = Map<string, Set<string>>;

function partsOf(object: string, lists: Lists, depth: number): number {
  const parts = lists.get(object.slice(0, -2));
  if (!parts || parts.size === 0 || depth > MAX_PARTS_DEPTH) return 1;
  let count = 0;
  for (const part of parts) if (part.endsWith(".o")) count += partsOf(part, lists, depth + 1);
  return count;
}

/** Contents of the active `NAME-y`, `NAME-objs` and `NAME-$(CONFIG_…)`, by NAME. */
function readMakefile(folder: string, options: CountOptions): Lists | undefined {
  const paths = ["Kbuild", "Makefile"].map((name) => join(options.tree, folder, name));
  const path = paths.find((each) => existsSync(each));
  if (path === undefined) return undefined;
  const lists: Lists = new Map();
  const branches: boolean[] = [];
  for (const line of readFileSync(path, "utf8").replaceAll("\\\n", " ").split("\n")) {
    const text = expand(line.replace(/#.*/, "").trim(), options);
    if (takeBranch(text, branches) || branches.includes(false)) continue;
    const match = /^([\w.-]+?)-(y|objs)\s*[:+]?=\s*(.*)$/.exec(text);
    if (!match) continue;
    const [, name = "", , items = ""] = match;
    const list = lists.get(name) ?? new Set<string>();
    lists.set(name, list);
    for (const item of items.split(/\s+/)) if (item !== "" && !item.includes("$")) list.add(item);
  }
  return lists;
}

/** Replaces options by their values; one that is off is empty, as in make. */
function expand(text: string, { lookUp, srcArch }: CountOptions): string {
  return text
    .replaceAll(/\$\((?:CONFIG_(\w+)|(SRCARCH))\)/g, (_, option) =>
      option === undefined ? srcArch : (lookUp(option)?.replaceAll('"', "") ?? ""),
    )
    .replaceAll(
      /\b(ifn?def) CONFIG_(\w+)/g,
      (_, word, option) => `${word} ${lookUp(option) ?? ""}`,
    );
}

function takeBranch(text: string, branches: boolean[]): boolean {
  const top = branches.length - 1;
  const equal = /^(ifn?eq)\s*\(([^,]*),([^)]*)\)/.exec(text);
  if (equal) {
    const isEqual = equal[2]?.trim() === equal[3]?.trim();
    branches.push(isEqual === (equal[1] === "ifeq"));
    return true;
  }
  const defined = /^(ifn?def)\s*(.*)$/.exec(text);
  if (defined) {
    branches.push((defined[2] !== "") === (defined[1] === "ifdef"));
    return true;
  }
  if (/^else\b/.test(text)) {
    branches[top] = branches[top] === false;
    return true;
  }
  if (/^endif\b/.test(text)) {
    branches.pop();
    return true;
  }
  return false;
}
