/** What a page of documentation names exists: paths, flags, configuration keys, make targets and variables. */
import { expect, test } from "bun:test";
import { parse } from "smol-toml";
import { EXEC_PROTOCOL } from "#api/exec-constants.ts";
import { globalFlags } from "#cli/spec/flags.ts";
import { root } from "#cli/spec/root.ts";
import type { Flags, Node } from "#cli/spec/types.ts";
import { variableOf } from "#config/resolve.ts";
import { type ConfigKey, schema } from "#config/schema.ts";
import { PROTOCOL } from "#guest/protocol.ts";
import { migrations } from "#store/migrations.ts";
import { MAY_IMPORT } from "#test/directions.ts";
import { listFiles, readSource } from "#test/tree.ts";

const files = listFiles();
const folders = new Set(files.flatMap(parentsOf));
const keys = Object.keys(schema) as ConfigKey[];
const sections = new Set(keys.flatMap((key) => (key.includes(".") ? [key.split(".")[0]] : [])));
const flags = new Set(["--help", ...namesOf(globalFlags), ...flagsOf(root)]);

/** Of Linux, which has a section "vm" as well. */
const SYSCTLS = ["vm.max_map_count"];
/** Flags of other programs, and of the instructions in a Dockerfile. */
const OTHER_FLAGS = new Set(
  (
    "--api-sock --authfile --checksum --chmod --chown --exclude --from --full --header --keep-git-dir --link --mount " +
    "--network --no-local --no-map-gw --parents --platform --save --security --transport --unix-socket --unpack"
  ).split(" "),
);
/** Where a path of the tree begins. What is built does not exist in a fresh clone. */
const TOP =
  /^(?:\.\/)?(?:src|sdk|guest|inflate|share|test|bench|scripts|recipes|docs|patches|\.ci)\//;

interface Code {
  line: number;
  text: string;
  isBlock: boolean;
}

const pages = files.filter((path) => path.endsWith(".md")).map(readSource);
const code = pages.flatMap(({ path, text }) => codeIn(text).map((each) => ({ path, ...each })));

test("paths of the tree that documents name are there", () => {
  const named = code.flatMap((each) => pathsIn(each).map((path) => ({ ...each, named: path })));
  expect(named.length).toBeGreaterThan(80);
  expectNone(named.filter((each) => !isThere(each.named)));
});

test("flags that documents name are banger's, or known to be another program's", () => {
  const named = code.flatMap((each) =>
    [...each.text.matchAll(/(?<![\w-])--[a-z][a-z-]*[a-z]/g)].map(([flag]) => ({
      ...each,
      named: flag,
    })),
  );
  expect(named.length).toBeGreaterThan(150);
  expectNone(named.filter(({ named: flag }) => !flags.has(flag) && !OTHER_FLAGS.has(flag)));
});

test("configuration keys that documents name are in the schema", () => {
  const named = code.flatMap((each) => keysIn(each).map((key) => ({ ...each, named: key })));
  expect(named.length).toBeGreaterThan(40);
  expectNone(
    named.filter(({ named: key }) => !Object.hasOwn(schema, key) && !SYSCTLS.includes(key)),
  );
});

test("docs/configuration.md has every key with its default", () => {
  const { text } = readSource("docs/configuration.md");
  const rows = new Map(
    [...text.matchAll(/^\| `([a-z0-9_.]+)` \|\s*(?:`([^`]*)`)?[^|]*\|/gm)].map((row) => [
      row[1],
      row[2],
    ]),
  );
  for (const key of keys) {
    const { fallback, parse: parseValue } = schema[key];
    const shown = rows.get(key);
    expect(rows.has(key), key).toBe(true);
    if (fallback === "") expect(shown, key).toBeUndefined();
    else
      expect(parseValue(/^\[/.test(shown ?? "") ? JSON.parse(shown ?? "") : shown), key).toEqual(
        fallback,
      );
  }
});

test("docs/compatibility.md has the versions that the program has", () => {
  const { text } = readSource("docs/compatibility.md");
  expect(/schema version [^.]*currently (\d+)/.exec(text)?.[1]).toBe(String(migrations.length));
  expect(/protocol number \((\d+)\)/.exec(text)?.[1]).toBe(String(PROTOCOL));
  expect(text).toContain(EXEC_PROTOCOL);
});

test("docs/architecture.md has every folder with what it may import", () => {
  const { text } = readSource("docs/architecture.md");
  const shown = new Map<string, string[]>();
  for (const [, path = "", cell = ""] of text.matchAll(/^\| `([\w./]+)` \|.*\| ([^|]*) \|$/gm)) {
    const above = [...shown.keys()].map((each) => each.replace(/^src\//, ""));
    const folders = cell === "–" ? [] : cell.split(", ");
    const isAll = cell === "every folder above";
    shown.set(path, isAll ? above.filter((each) => each !== "main.ts") : folders);
  }
  for (const [name, wanted] of Object.entries(MAY_IMPORT)) {
    const path = [`src/${name}`, name].find(isThere);
    if (path !== undefined) expect(shown.get(path)?.sort(), path).toEqual([...wanted].sort());
  }
});

test("make targets that documents name are in the Makefile that they name", () => {
  const named = code.flatMap((each) =>
    targetsIn(each.text).map((one) => ({ ...each, named: one })),
  );
  expect(named.length).toBeGreaterThan(15);
  expectNone(named.filter(({ named: one }) => !hasTarget(one)));
});

test("variables that documents name are read somewhere", () => {
  const variables = new Set(keys.map(variableOf));
  const readers = files
    .filter((path) => /^(scripts|test|src)\/.*\.(ts|sh)$|(^|\/)Makefile$/.test(path))
    .map((path) => readSource(path).text)
    .join("\n");
  const named = pages.flatMap(({ path, lines }) =>
    lines.flatMap((text, index) =>
      [...text.matchAll(/\bBANGER_[A-Z_]*[A-Z]/g)].map(([name]) => ({
        path,
        line: index + 1,
        named: name,
      })),
    ),
  );
  expect(named.length).toBeGreaterThan(1);
  expectNone(named.filter(({ named: name }) => !variables.has(name) && !readers.includes(name)));
});

test("the checks above see what they are meant to see", () => {
  const page = "A `src/no.ts`, `vm.no`.\n\n    make no\n\n```toml\n[vm]\nno = 1\n```\n";
  const found = codeIn(page);
  expect(found).toEqual([
    { line: 1, text: "src/no.ts", isBlock: false },
    { line: 1, text: "vm.no", isBlock: false },
    { line: 3, text: "make no", isBlock: true },
    { line: 6, text: "[vm]\nno = 1", isBlock: true },
  ]);
  expect(found.flatMap(pathsIn)).toEqual(["src/no.ts"]);
  expect(found.flatMap(keysIn)).toEqual(["vm.no", "vm.no"]);
  expect(found.flatMap(({ text }) => targetsIn(text))).toEqual(["no"]);
  expect(targetsIn("make -C guest fuzz SECONDS=1")).toEqual(["guest fuzz"]);
  expect(["src/no.ts", "src/no", "src/*.no"].filter(isThere)).toEqual([]);
  expect(["src/main.ts", "src/cli", "src/*.ts", "./docs/"].filter(isThere)).toHaveLength(4);
  expect([hasTarget("no"), hasTarget("guest no"), hasTarget("test")]).toEqual([false, false, true]);
  expect(flags.has("--nat")).toBe(true);
  expect(flags.has("--no-start")).toBe(true);
});

/** Code in sentences, and blocks of it: each block that is indented or fenced is one. */
function codeIn(text: string): Code[] {
  const found: Code[] = [];
  let isFenced = false;
  let block: Code | undefined;
  const end = (): void => {
    if (block) found.push({ ...block, text: block.text.trimEnd() });
    block = undefined;
  };
  for (const [index, line] of text.split("\n").entries()) {
    const isFence = /^\s*```/.test(line);
    if (isFence) isFenced = !isFenced;
    if (!isFence && (isFenced || /^ {4}/.test(line) || (block && line === ""))) {
      const own = isFenced ? line : line.slice(4);
      if (block) block.text += `\n${own}`;
      else block = { line: index + 1, text: own, isBlock: true };
      continue;
    }
    end();
    for (const [, span = ""] of isFence ? [] : line.matchAll(/`([^`]+)`/g)) {
      found.push({ line: index + 1, text: span, isBlock: false });
    }
  }
  end();
  return found;
}

/** Arguments of banger and of other people's programs are paths of the reader's. */
function pathsIn({ text, isBlock }: Code): string[] {
  return text
    .split("\n")
    .filter((line) => !isBlock || /^(?:build\/toolchain\/bun|make) /.test(line))
    .flatMap((line) => line.split(/[\s,]+/))
    .filter((word) => TOP.test(word) && !/[A-Z]{4}/.test(word.replace(/[A-Z]+\.md$/, "")));
}

function isThere(path: string): boolean {
  const plain = path.replace(/^\.\//, "").replace(/\/$/, "");
  if (!plain.includes("*")) return folders.has(plain) || files.includes(plain);
  const glob = new Bun.Glob(plain);
  return files.some((each) => glob.match(each));
}

function parentsOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

function keysIn({ text, isBlock }: Code): string[] {
  if (!isBlock) return /^[a-z]+\.(?!ts$)[a-z0-9_]+$/.test(text) && isSection(text) ? [text] : [];
  if (![...sections].some((section) => text.includes(`[${section}]\n`))) return [];
  const table = parse(text.replaceAll(/^(?!\w+ =|\[|#).*$/gm, ""));
  return Object.entries(table).flatMap(([name, value]) =>
    isSection(`${name}.`) ? Object.keys(value).map((each) => `${name}.${each}`) : [name],
  );
}

function isSection(key: string): boolean {
  return sections.has(key.split(".")[0]);
}

/** "test", or "guest test" for `make -C guest test`. */
function targetsIn(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const words = /^(?:\$ |sudo |[A-Z_]+=\S+ )*make(?: -C (\w+))? ([a-z][a-z-]*)/.exec(line);
    return words ? [words[1] ? `${words[1]} ${words[2]}` : (words[2] ?? "")] : [];
  });
}

function hasTarget(named: string): boolean {
  const [target = "", folder] = named.split(" ").reverse();
  const makefile = readSource(folder ? `${folder}/Makefile` : "Makefile").text;
  return new RegExp(`^(?:[\\w-]+ )*${target}(?: [\\w-]+)*:(?!=)`, "m").test(makefile);
}

function flagsOf(node: Node): string[] {
  if (node.kind === "group") return Object.values(node.commands).flatMap(flagsOf);
  return namesOf(node.flags);
}

function namesOf(some: Flags): string[] {
  return Object.values(some).flatMap(({ syntax }) => syntax.match(/--[a-z][a-z-]*/g) ?? []);
}

function expectNone(wrong: readonly { path: string; line: number; named: string }[]): void {
  const shown = wrong.map(({ path, line, named }) => `${path}:${line}: ${named}`);
  if (shown.length > 0) throw new Error(`Named and not there:\n  ${shown.join("\n  ")}`);
}
