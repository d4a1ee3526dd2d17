/**
 * Commands on workspaces are killed with SIGKILL, and what they have started with them, at many moments. The user's
 * repository is as before, or complete, and the next command completes the work. A directory stands in for the machine.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { describeRepository, gitIn } from "#test/workspace-compare.ts";

const PROGRAM = new URL("../support/torture/killed-workspace.ts", import.meta.url).pathname;
const MOMENTS = 14;
/** Of what was started before, such as git, how much of it is done by then. */
const DELAYS_MS = [0, 1, 3, 8];

let place: string;
let program: string;

beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), "banger-killed-"));
  program = await bundle();
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** With a file system whose synchronous calls are steps. */
async function bundle(): Promise<string> {
  const names = Object.keys(fs).filter((name) => name !== "default");
  const wrapped = names.map((name) => {
    const isStep = name.endsWith("Sync") && typeof Reflect.get(fs, name) === "function";
    const own = isStep
      ? `(...args) => { globalThis.stepOfTest?.(); return real.${name}(...args); }`
      : `real.${name}`;
    return `export const ${name} = ${own};`;
  });
  const contents = `const real = process.getBuiltinModule("node:fs");\nexport default real;\n${wrapped.join("\n")}`;
  const built = await Bun.build({
    entrypoints: [PROGRAM],
    target: "bun",
    outdir: join(place, "program"),
    plugins: [
      {
        name: "steps",
        setup(build) {
          // Modules that are built in cannot be replaced by their own names.
          build.onLoad({ filter: /\/(src|test)\/.*\.ts$/ }, async ({ path }) => {
            const text = await Bun.file(path).text();
            return { contents: text.replaceAll('from "node:fs"', 'from "steps:fs"'), loader: "ts" };
          });
          build.onResolve({ filter: /^steps:fs$/ }, () => ({ path: "fs", namespace: "steps" }));
          build.onLoad({ filter: /.*/, namespace: "steps" }, () => ({ contents, loader: "js" }));
        },
      },
    ],
  });
  return built.outputs[0]?.path ?? "";
}

interface Run {
  folder: string;
  op: string;
  at?: number;
  delay_ms?: number;
}

/** Gives the steps of a command that ends; undefined if it was killed. */
async function run({ folder, op, at = 0, delay_ms = 0 }: Run): Promise<number | undefined> {
  const child = Bun.spawn([process.execPath, program, op, folder, String(at), String(delay_ms)], {
    env: { ...process.env, TMPDIR: join(folder, "tmp") },
    detached: true,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const status = await child.exited;
  if (child.signalCode === "SIGKILL") return undefined;
  if (status !== 0) throw new Error(`${op}: ${stderr}`);
  return Number(stdout);
}

/** A repository with changes, and a machine without it. */
function makeHost(folder: string): void {
  for (const name of ["tmp", "guest", "out"]) mkdirSync(join(folder, name), { recursive: true });
  const repo = new TestRepository(join(folder, "repo"));
  const files = Array.from({ length: 20 }, (_, at) => [`src/${at}.txt`, `${at}\n`.repeat(200)]);
  repo.commit({ "a.txt": "a\n", "gone/b.txt": "b\n", ...Object.fromEntries(files) });
  repo.commit({ "second.txt": "2\n" }, "v1");
  writeFileSync(join(repo.path, "a.txt"), "changed\n");
  writeFileSync(join(repo.path, "untracked.txt"), "u\n");
  repo.git("add", "untracked.txt");
}

/** Commits and other changes in the machine, and one on the host that is merged. */
function change(folder: string): void {
  const there = join(folder, "guest/w");
  const inside = (...args: string[]) =>
    gitIn(there, "-c", "user.name=in", "-c", "user.email=in@e", ...args);
  for (let at = 0; at < 12; at++) writeFileSync(join(there, `src/${at}.txt`), `inside ${at}\n`);
  writeFileSync(join(there, "committed.txt"), "committed\n");
  inside("add", "committed.txt", "src/1.txt");
  inside("commit", "--quiet", "-m", "Inside");
  inside("branch", "other");
  rmSync(join(there, "gone"), { recursive: true });
  mkdirSync(join(there, "new/deep"), { recursive: true });
  for (const name of ["new/x.txt", "new/deep/y.txt"]) writeFileSync(join(there, name), "new\n");
  writeFileSync(join(folder, "repo/mine.txt"), "mine\n");
}

/** A copy of what was prepared, for one run: in the same place, which records name. */
function copyOf(prepared: string): string {
  const folder = join(place, "run");
  rmSync(folder, { recursive: true, force: true });
  Bun.spawnSync(["cp", "-a", prepared, folder]);
  return folder;
}

/** Gives a copy that stays. */
async function prepare(name: string, steps: Case["prepared"]): Promise<string> {
  const folder = join(place, "run");
  rmSync(folder, { recursive: true, force: true });
  makeHost(folder);
  for (const each of steps) {
    if (typeof each === "string") await run({ folder, op: each });
    else each(folder);
  }
  const prepared = join(place, name.replaceAll(" ", "-"));
  Bun.spawnSync(["cp", "-a", folder, prepared]);
  return prepared;
}

type Files = Record<string, string>;

/** All files of the user's repository, `.git` too. */
function filesOf(folder: string): Files {
  return describeRepository(join(folder, "repo"), { withGitDir: true })["files"] as Files;
}

function withoutTimes(files: Files): Files {
  return Object.fromEntries(
    Object.entries(files).map(([name, text]) => [name, text.replace(/^(\d+) \d* /, "$1 ")]),
  );
}

/** Files that are not as in either of two states. */
function strangeIn(now: Files, before: Files, after: Files): string[] {
  const names = new Set([now, before, after].flatMap((files) => Object.keys(files)));
  return [...names].filter((name) => now[name] !== before[name] && now[name] !== after[name]);
}

const isOurs = (name: string): boolean => /^\.git\/(objects\/)?\.banger-[a-z]+-/.test(name);
const isFetched = (name: string): boolean => /^\.git\/(objects|refs\/banger)\//.test(name);

/** What may be there after a kill only: the next command removes it. */
function leftovers(folder: string): string[] {
  const inRepo = Object.keys(filesOf(folder)).filter((name) => /\.lock$|tmp_|\.banger-/.test(name));
  return [...inRepo, ...readdirSync(join(folder, "tmp")), ...readdirSync(join(folder, "out"))];
}

function expectSound(folder: string): void {
  const repo = join(folder, "repo");
  expect(gitIn(repo, "fsck", "--full", "--strict").stderr).not.toMatch(/missing|error|fatal/);
  for (const line of gitIn(repo, "for-each-ref").stdout.split("\n").filter(Boolean))
    expect(gitIn(repo, "cat-file", "-e", line.slice(0, 40)).stderr).toBe("");
}

const IMPORTED = ["import", change];

interface Case {
  op: string;
  prepared: readonly (string | ((folder: string) => void))[];
  /** Of the user's files, those that the command may change. */
  changes?: "nothing" | "refs" | "files";
}

const cases: readonly (Case & { name: string })[] = [
  { name: "import", op: "import", prepared: [] },
  {
    name: "import again",
    op: "import",
    prepared: ["import", (at) => writeFileSync(join(at, "repo/src/3.txt"), "later\n")],
  },
  { name: "fetch", op: "fetch", prepared: IMPORTED, changes: "refs" },
  { name: "apply", op: "apply", prepared: IMPORTED, changes: "files" },
  { name: "sync", op: "sync", prepared: IMPORTED, changes: "files" },
  { name: "export --tar", op: "tar", prepared: IMPORTED },
  { name: "export --bundle", op: "bundle", prepared: IMPORTED },
  { name: "checkpoint", op: "checkpoint", prepared: IMPORTED },
  { name: "restore", op: "restore", prepared: ["import", "checkpoint", change] },
];

describe("killed in the middle", () => {
  test.each(cases.map((each) => [each.name, each] as const))("%s", async (name, each) => {
    const { op, changes = "nothing" } = each;
    const prepared = await prepare(name, each.prepared);
    const before = filesOf(prepared);
    const complete = copyOf(prepared);
    const steps = (await run({ folder: complete, op })) ?? 0;
    const after = filesOf(complete);
    const guestAfter = treeOf(complete);
    const made = leftovers(complete);

    expect(steps).toBeGreaterThan(MOMENTS);
    let kills = 0;
    for (let moment = 0; moment < MOMENTS; moment++) {
      // The last moments are close to each other, as that is when most is written.
      const share = 1 - (1 - moment / MOMENTS) ** 1.7;
      const at = 1 + Math.floor(share * (steps - 1));
      const folder = copyOf(prepared);
      const delay_ms = DELAYS_MS[moment % DELAYS_MS.length] ?? 0;
      if ((await run({ folder, op, at, delay_ms })) === undefined) kills++;
      const now = filesOf(folder);
      const [a, b] = [withoutTimes(before), withoutTimes(after)];
      const strange = strangeIn(withoutTimes(now), a, changes === "nothing" ? a : b).filter(
        (file) => !isOurs(file) && !(changes === "refs" && isFetched(file)),
      );
      expect(strange).toEqual([]);
      if (changes === "nothing")
        expect(Object.entries(now).filter(([file]) => !isOurs(file))).toEqual(
          Object.entries(before),
        );
      else expectSound(folder);

      await run({ folder, op });
      expect(leftovers(folder)).toEqual(made);
      expect(visibleOf(filesOf(folder))).toEqual(visibleOf(after));
      if (op !== "checkpoint") expect(treeOf(folder)).toEqual(guestAfter);
      expectSound(folder);
    }
    expect(kills).toBeGreaterThanOrEqual(10);
  });
});

/** Without what is packed at a time of its own: commits of what is not committed, and packs of them. */
function visibleOf(files: Files): Files {
  const kept = Object.entries(withoutTimes(files)).filter(
    ([name]) => !/^\.git\/objects\/|^\.git\/refs\/banger\/vm\/(worktree|index)$/.test(name),
  );
  return Object.fromEntries(kept);
}

/** The machine's files, as git and the file system show them. */
function treeOf(folder: string): Files {
  const there = join(folder, "guest/w");
  if (!existsSync(there)) return {};
  const { status, untracked, refs, files } = describeRepository(there, {});
  return { ...withoutTimes(files as Files), status, untracked, refs } as Files;
}
