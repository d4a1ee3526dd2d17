/** The rules of the tree that no linter knows. Every message says what to do instead. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { MAY_IMPORT } from "#test/directions.ts";
import {
  grep,
  imports,
  isTest,
  listFiles,
  ROOT,
  readSource,
  resolveImport,
  targetOf,
} from "#test/tree.ts";

/** Files that take in what is not source: programs in C, the guest's first script, the bundle of the web UI. */
const EMBEDDING = [
  "src/guest/embedded.ts",
  "src/images/rootfs/inflate-program.ts",
  "src/vmm/jail/program.ts",
  "src/daemon/ui/pack.ts",
];

/** The contract holds schemas and procedures: who only wants a noun takes the noun's file. */
const CONTRACT_READERS = ["daemon", "sdk", "api", "cli", "mcp", "web"];

const FOLDER_FILES_MAX = 25;
const LINES_MAX = 350;
/** Tests are lists of cases. */
const TEST_LINES_MAX = 500;
/** One state machine or one on-disk format each; the figure only ever goes down. */
const LINES_EXCEPTIONS: Record<string, number> = {};

/** C files and headers, each for itself; tests aside. */
const C_FOLDER_MAX = 25;
const C_LINES_LIMIT = 600;

const tracked = listFiles();
const sources = tracked.filter((path) => /\.tsx?$/.test(path)).map(readSource);
const cSources = tracked.filter((path) =>
  /^(guest|inflate|jail|share)\/(?!(.*\/)?(test|fuzz)\/).*\.[ch]$/.test(path),
);
const product = sources.filter(({ path }) => /^(src|sdk)\//.test(path) && !isTest(path));

test("imports go in the direction of docs/architecture.md", () => {
  const wrong: string[] = [];
  for (const file of product) {
    const from = folderOf(file.path);
    for (const { specifier, line } of imports(file)) {
      const target = targetOf(specifier);
      if (!target) continue;
      const to = folderOf(target);
      if (to === from || mayImport(from, target)) continue;
      wrong.push(`${file.path}:${line}: ${from} must not import ${to} ("${specifier}")`);
    }
  }
  expectNone(
    wrong,
    "The table is MAY_IMPORT in test/support/directions.ts; docs/architecture.md says why",
  );
});

test("the table of folders has every folder under src", () => {
  const folders = new Set(product.map(({ path }) => folderOf(path)));
  const unknown = [...folders].filter((folder) => !(folder in MAY_IMPORT));
  expectNone(unknown, "Give each a row in MAY_IMPORT in test/support/directions.ts");
});

test("vmm drivers do not know of each other", () => {
  const wrong: string[] = [];
  for (const file of product) {
    const driver = /^src\/vmm\/(qemu|firecracker)\//.exec(file.path)?.[1];
    for (const { specifier, line } of driver ? imports(file) : []) {
      const other = /^#vmm\/(qemu|firecracker)\//.exec(specifier)?.[1];
      if (other && other !== driver) wrong.push(`${file.path}:${line}: ${specifier}`);
    }
  }
  expectNone(wrong, "What two drivers share belongs in src/vmm");
});

test("only the daemon and the clients read the contract", () => {
  const wrong = product
    .filter(({ path }) => !CONTRACT_READERS.includes(folderOf(path)))
    .flatMap((file) =>
      imports(file)
        .filter(({ specifier }) => specifier === "#api/contract.ts")
        .map(({ line }) => `${file.path}:${line}`),
    );
  expectNone(wrong, "Take the noun's own file in src/api");
});

test('imports are "#folder/file.ts" across folders and "./file.ts" inside one', () => {
  const wrong: string[] = [];
  for (const file of sources) {
    for (const { specifier, line } of imports(file)) {
      const place = `${file.path}:${line}: "${specifier}"`;
      if (EMBEDDING.includes(file.path) && !/\.tsx?$/.test(specifier)) continue;
      if (specifier.startsWith("../")) wrong.push(`${place} climbs`);
      if (/^[.#]/.test(specifier) && !/\.\w+$/.test(specifier)) {
        wrong.push(`${place} has no suffix`);
      }
      const target = targetOf(specifier);
      const own = target && dirname(target) === dirname(file.path) && !isTest(file.path);
      if (own) wrong.push(`${place} is in the same folder`);
    }
  }
  expectNone(wrong, 'Write "#folder/file.ts" or "./file.ts"');
});

test("every file is imported by somebody", () => {
  const reached = new Set(
    sources.flatMap((file) => imports(file).map((each) => resolveImport(file, each.specifier))),
  );
  const isEntry = (path: string) =>
    isTest(path) ||
    /\.d\.ts$|^src\/(web\/main\.tsx|main\.ts)$|^sdk\/src\/(client|package|computesdk)\.ts$/.test(
      path,
    );
  const orphans = product
    .map(({ path }) => path)
    .filter((path) => !isEntry(path) && !reached.has(path));
  expectNone(orphans, "Use it or remove it");
});

test("no file imports itself in a circle, type imports included", () => {
  const graph = new Map(
    product.map((file) => [
      file.path,
      imports(file).map(({ specifier }) => resolveImport(file, specifier)),
    ]),
  );
  expectNone(cyclesOf(graph), "Move what both need into a file of its own");
});

test(`a folder has at most ${FOLDER_FILES_MAX} source files`, () => {
  const counts = new Map<string, number>();
  for (const { path } of product) {
    counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  }
  const wrong = [...counts].filter(([, count]) => count > FOLDER_FILES_MAX);
  expectNone(
    wrong.map(([folder, count]) => `${folder}: ${count} files`),
    "Split it by what its files own",
  );
});

test("nothing is named util or helpers, and there are no barrels", () => {
  const wrong = sources
    .map(({ path }) => path)
    .filter((path) => /(^|\/)(utils?|helpers?|common|misc|index)(\/|\.tsx?$)/.test(path));
  expectNone(wrong, "Name a file by what it owns");
});

test("the record of a machine changes through src/vm/states.ts only", () => {
  const wrong = grep(product, /\b(updateVm|deleteVm)\b/).filter(
    (hit) => !/^src\/vm\/(records|states)\.ts/.test(hit),
  );
  expectNone(wrong, "Call States, which checks the state and its owner, and publishes the change");
});

test("what a driver can do is in its features, not in its name", () => {
  // A client has no drivers, and the hint there is about a setting of Firecracker's.
  const wrong = grep(product, /[!=]== "(firecracker|qemu)"/).filter(
    (hit) => !/^src\/(vmm\/\w+\/driver|cli\/handlers\/vm\/logs)\.ts/.test(hit),
  );
  expectNone(wrong, "Add a feature to DriverFeatures in src/vmm/driver.ts");
});

// Programs get the environment as it is, and the runtime's own fetch goes by the proxies in it. The SDK's package has no
// configuration.
test("the environment is read in src/config, run.ts, proxy.ts and the SDK's connection.ts only", () => {
  const wrong = grep(product, /\b(process|Bun)\.env\b/).filter(
    (hit) => !/^(src\/(config\/|base\/run\.ts|http\/proxy\.ts)|sdk\/src\/connection\.ts)/.test(hit),
  );
  expectNone(wrong, "Put the value into the Config that src/config resolves");
});

test("standard output and standard error are written to in src/base/stdio.ts only", () => {
  const wrong = grep(
    product,
    /\b(process\.)?std(out|err)\.write\(|\bconsole\.\w+\(|\bBun\.std(out|err)\b|writeSync\([12],/,
  ).filter((hit) => !hit.startsWith("src/base/stdio.ts"));
  expectNone(wrong, "Take writeOut(), writeErr() or tell() of src/base/stdio.ts");
});

test(`files have at most ${LINES_MAX} lines`, () => {
  const wrong: string[] = [];
  for (const { path, lines } of sources) {
    const limit = LINES_EXCEPTIONS[path] ?? (isTest(path) ? TEST_LINES_MAX : LINES_MAX);
    if (lines.length > limit) wrong.push(`${path}: ${lines.length} lines, limit ${limit}`);
  }
  const gone = Object.keys(LINES_EXCEPTIONS).filter((path) => !existsSync(join(ROOT, path)));
  expectNone(
    [...wrong, ...gone.map((path) => `${path}: excepted, and not there`)],
    "Split it by what it owns",
  );
});

test(`folders of C have at most ${C_FOLDER_MAX} sources`, () => {
  const counts = new Map<string, number>();
  for (const path of cSources) counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  const wrong = [...counts].filter(([, count]) => count > C_FOLDER_MAX);
  expectNone(
    wrong.map(([folder, count]) => `${folder}: ${count} sources`),
    "Split the folder by what its files own",
  );
});

test(`files of C have fewer than ${C_LINES_LIMIT} lines`, () => {
  const wrong = cSources.map(readSource).filter(({ lines }) => lines.length >= C_LINES_LIMIT);
  expectNone(
    wrong.map(({ path, lines }) => `${path}: ${lines.length} lines`),
    "Split it by what it owns",
  );
});

test("the guest's includes go in the direction of FOLDERS in its Makefile", () => {
  const makefile = readSource("guest/Makefile").text;
  const order = /^FOLDERS := (.+)$/m.exec(makefile)?.[1]?.split(" ") ?? [];
  expect(order.length).toBeGreaterThan(1);
  const wrong: string[] = [];
  for (const { path, text } of cSources
    .filter((each) => each.startsWith("guest/"))
    .map(readSource)) {
    const [, from = "", file] = path.split("/");
    for (const [, target = ""] of text.matchAll(/^#include "(.+)"$/gm)) {
      const rank = order.indexOf(target.split("/")[0] ?? "");
      if (rank < 0) wrong.push(`${path}: "${target}" does not begin with a folder of FOLDERS`);
      else if (file && rank > order.indexOf(from)) wrong.push(`${path}: includes "${target}"`);
    }
  }
  expectNone(wrong, "Write includes from the guest's root; move what two folders need below both");
});

test('errors begin with "Cannot <verb>", or state the fault in lower case', () => {
  const wrong: string[] = [];
  for (const { path, text } of product) {
    for (const match of text.matchAll(
      /new BangerError\(\s*(?:"[a-z_]+"|\w+),\s*(["`])((?:\\.|(?!\1)[^\\])*)\1/g,
    )) {
      const message = match[2] ?? "";
      const line = text.slice(0, match.index).split("\n").length;
      const place = `${path}:${line}: ${message}`;
      if (/^(?!Cannot )[A-Z][a-z]/.test(message)) wrong.push(`${place} (starts with a capital)`);
      if (/\.$/.test(message)) wrong.push(`${place} (ends with a period)`);
      if (/\b(can't|couldn't|doesn't|isn't|won't|failed to)\b/i.test(message)) {
        wrong.push(`${place} (contraction, or "failed to")`);
      }
    }
  }
  expectNone(wrong, "src/base/error.ts has the grammar");
});

test("nothing unfinished and nothing of one machine is in the tree", () => {
  const hosts = [
    ["registry", "npmjs", "org"],
    ["registry", "yarnpkg", "com"],
    ["deb", "debian", "org"],
    ["security", "debian", "org"],
    ["snapshot", "debian", "org"],
    ["dl-cdn", "alpinelinux", "org"],
  ].map((parts) => parts.join("."));
  const words = ["TO" + "DO", "FIX" + "ME", "X" + "XX"];
  const folders = ["work", "farm"].map((folder) => `/${folder}/`);
  const banned = new RegExp(
    [
      ...hosts.map((host) => host.replaceAll(".", "\\.")),
      ...words.map((word) => `\\b${word}\\b`),
      ...folders,
    ].join("|"),
  );
  const texts = tracked
    .filter((path) => !/^LICENSE$|\.(png|gz|zst|bin)$/.test(path))
    .map(readSource);
  expectNone(
    grep(texts, banned),
    "Say it in an issue, take it from the configuration, or finish it",
  );
});

test("each page of documentation has one title, and its links lead somewhere", () => {
  const wrong: string[] = [];
  for (const { path, text } of tracked.filter((each) => each.endsWith(".md")).map(readSource)) {
    const prose = text.replaceAll(/^```[\s\S]*?^```/gm, "");
    const titles = prose.match(/^# .+$/gm) ?? [];
    if (titles.length !== 1) wrong.push(`${path}: ${titles.length} titles`);
    for (const [, target = ""] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = "", anchor] = target.split("#");
      const resolved = file ? normalize(join(dirname(path), file)) : path;
      if (!existsSync(join(ROOT, resolved))) wrong.push(`${path}: no "${target}"`);
      else if (anchor && !anchors(resolved).has(anchor))
        wrong.push(`${path}: no "#${anchor}" in ${resolved}`);
    }
  }
  expectNone(wrong, "Mend the page");
});

test("the rules above see what they are meant to see", () => {
  const file = (path: string, text: string) => ({ path, text, lines: text.split("\n") });
  const code =
    'import type { A } from "#vm/a.ts";\nexport { b }\n  from "./b.ts";\nconst c = await import("#cli/c.ts");\n';
  const seen = imports(file("src/oci/x.ts", code));
  expect(seen).toEqual([
    { specifier: "#vm/a.ts", line: 1 },
    { specifier: "./b.ts", line: 3 },
    { specifier: "#cli/c.ts", line: 4 },
  ]);
  const circle = cyclesOf(
    new Map([
      ["a", ["b", "d"]],
      ["b", ["c"]],
      ["c", ["a"]],
      ["d", []],
    ]),
  );
  expect(circle).toEqual(["a -> b -> c -> a"]);
  expect(mayImport("oci", "src/vm/a.ts")).toBe(false);
  expect(mayImport("cli", "src/config/paths.ts")).toBe(true);
  expect(mayImport("cli", "src/daemon/main.ts")).toBe(false);
  expect(mayImport("cli", "sdk/src/client.ts")).toBe(true);
});

function mayImport(from: string, target: string): boolean {
  const allowed = MAY_IMPORT[from] ?? [];
  return allowed.includes(folderOf(target));
}

/** Each circle as "a.ts -> b.ts -> a.ts". */
function cyclesOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const at = trail.indexOf(path);
    if (at >= 0) found.push([...trail.slice(at), path].join(" -> "));
    if (at >= 0 || done.has(path)) return;
    trail.push(path);
    for (const next of graph.get(path) ?? []) visit(next);
    trail.pop();
    done.add(path);
  };
  for (const path of graph.keys()) visit(path);
  return found;
}

/** "oci" for src/oci/…, "sdk" for sdk/…, "main.ts" for src/main.ts. */
function folderOf(path: string): string {
  const [top = "", second = ""] = path.split("/");
  return top === "src" ? second : top;
}

/** As GitHub makes them of headings. */
function anchors(path: string): Set<string> {
  const headings = readSource(path).text.match(/^#+ .+$/gm) ?? [];
  return new Set(
    headings.map((heading) =>
      heading
        .replace(/^#+ /, "")
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
}

function expectNone(wrong: string[], advice: string): void {
  if (wrong.length > 0) throw new Error(`${advice}\n  ${wrong.join("\n  ")}`);
  expect(wrong).toEqual([]);
}
