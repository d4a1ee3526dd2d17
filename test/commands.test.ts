/** Every command that a message, a hint, a help text or a page of documentation names is one. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root, shortcuts } from "#cli/spec/root.ts";
import type { Node } from "#cli/spec/types.ts";

const ROOT = join(import.meta.dir, "..");
/** commander adds it. */
const BUILT_IN = ["help"];
/** What follows "banger" in a quoted text that is no command, but a sentence or a seed. */
const SENTENCES = ["takes", "reads", "keeps", "mac", "ext"];

test("commands that are named exist", () => {
  const wrong: string[] = [];
  for (const path of new Bun.Glob("{src,sdk,docs,guest}/**/*.{ts,md,sh}").scanSync(ROOT)) {
    if (!path.endsWith(".test.ts")) wrong.push(...unknownCommands(path));
  }
  wrong.push(...["README.md", "AGENTS.md"].flatMap(unknownCommands));
  if (wrong.length > 0) throw new Error(`No such command:\n  ${wrong.join("\n  ")}`);
});

test("the check above sees a command that does not exist", () => {
  expect(commandsIn('hint: "Try: banger vm frob --now",')).toEqual([["vm", "frob"]]);
  expect(exists(["vm", "frob"])).toBe(false);
  expect(exists(["vm", "create"])).toBe(true);
  expect(exists(["ssh"])).toBe(true);
});

function unknownCommands(path: string): string[] {
  return readFileSync(join(ROOT, path), "utf8")
    .split("\n")
    .flatMap((line, index) =>
      commandsIn(line)
        .filter((words) => !exists(words))
        .map((words) => `${path}:${index + 1}: banger ${words.join(" ")}`),
    );
}

/** Only where a command is quoted or shown, not where a sentence is about banger. */
function commandsIn(line: string): string[][] {
  const shown = /(?:["'`(:$]\s?|sudo |^ {4})banger ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)/g;
  return [...line.matchAll(shown)]
    .map(([, words = ""]) => words.split(" "))
    .filter(([first = ""]) => !SENTENCES.includes(first));
}

function exists([first = "", second]: string[]): boolean {
  if (BUILT_IN.includes(first) || first in shortcuts) return true;
  const node: Node | undefined = (root.commands as Record<string, Node>)[first];
  if (node?.kind !== "group") return node !== undefined;
  return second === undefined || second in node.commands || hasAlias(node.commands, second);
}

function hasAlias(commands: Record<string, Node>, name: string): boolean {
  return Object.values(commands).some(
    (node) => node.kind === "command" && node.aliases?.includes(name),
  );
}
