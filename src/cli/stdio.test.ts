/** Every command, with files that are written behind what they had, and with a reader that leaves. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cliCommand, cliEnvironment } from "#test/cli.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { type LocalDaemon, startLocalDaemon } from "#test/local-daemon.ts";
import { root } from "./spec/root.ts";
import type { Arg, CommandSpec, Node } from "./spec/types.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

/** Side by side. */
const WORKERS = 3;

/** What changes the computer, or goes on until it is ended, is asked for its help or for no effect. */
const INSTEAD: Record<string, readonly string[]> = {
  setup: ["--help"],
  "dns setup": ["--help"],
  "daemon run": ["--help"],
  "daemon enable": ["--print"],
  "daemon disable": ["--help"],
  "image bootstrap": ["--help"],
  "ssh-config": [],
  completion: ["bash"],
  "kernel catalog keygen": ["--help"],
  "vm top": ["--help"],
  "vm forward": ["--help"],
  "vm stats": ["--no-stream"],
};
const WORDS: Record<string, string> = {
  vm: "testbox",
  image: "debian-bookworm",
  kernel: "debian-6.12",
  catalog: "debian-6.12",
  network: "backend",
};

let daemon: LocalDaemon;
beforeAll(async () => {
  daemon = await startLocalDaemon();
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
});

function commandLines(node: Node, path: readonly string[]): string[][] {
  if (node.kind === "group") {
    return Object.entries(node.commands).flatMap(([name, each]) =>
      commandLines(each, [...path, name]),
    );
  }
  return [[...path, ...(INSTEAD[path.join(" ")] ?? plainWords(node))]];
}

function plainWords({ args }: CommandSpec): string[] {
  const wordOf = ({ completes }: Arg) => WORDS[completes ?? ""] ?? "nothing";
  return Object.values(args)
    .filter(({ count }) => count === "one" || count === "some")
    .map(wordOf);
}

/** Each line through `script`, where "$@" is the program; gives what `read` makes of the worker's number. */
async function eachLine(script: string, check: (line: string, result: Result) => void) {
  const lines = commandLines(root, []);
  expect(lines.length).toBeGreaterThan(100);
  const work = async (worker: number): Promise<void> => {
    const [out, err] = [join(daemon.folder, `out${worker}`), join(daemon.folder, `err${worker}`)];
    for (let words = lines.pop(); words; words = lines.pop()) {
      writeFileSync(out, "before\n");
      writeFileSync(err, "before\n");
      const child = Bun.spawn(["bash", "-c", script, "bash", ...cliCommand(words)], {
        env: { ...cliEnvironment(daemon.env), OUT: out, ERR: err },
        stdin: "ignore",
      });
      const exitCode = await child.exited;
      const [stdout, stderr] = [readFileSync(out, "utf8"), readFileSync(err, "utf8")];
      check(words.join(" "), { exitCode, stdout, stderr });
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
}

interface Result {
  exitCode: number;
  stdout: string;
  stderr: string;
}

test("no command empties the file that its output is added to", async () => {
  await eachLine('timeout 60 "$@" >> "$OUT" 2>> "$ERR"', (line, { exitCode, stdout, stderr }) => {
    const found = {
      line,
      isOver: exitCode !== 124,
      out: stdout.slice(0, 7),
      err: stderr.slice(0, 7),
    };
    expect(found).toEqual({ line, isOver: true, out: "before\n", err: "before\n" });
  });
});

test("every command ends quietly when nobody reads its output any more", async () => {
  // A descriptor of a pipe whose reader is gone already.
  const script = 'exec 3> >(exec true); wait $!; timeout 60 "$@" >&3 2>> "$ERR"';
  await eachLine(script, (line, { exitCode, stderr }) => {
    expect([
      line,
      exitCode !== 124,
      /EPIPE|broken pipe|\bat .*:\d+:\d+/i.exec(stderr)?.[0],
    ]).toEqual([line, true, undefined]);
  });
});
