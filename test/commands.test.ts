/** Every command that a message, a hint, a help text or a page of documentation names is one, as the command line's own parser has it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { root } from "#cli/spec/root.ts";
import type { Node } from "#cli/spec/types.ts";
import { bangerCommands, mistakeIn, shellCommands, VALUE } from "#test/command-lines.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { isTest, listFiles, readSource } from "#test/tree.ts";

// What a preloaded file sets is the default of the first file of a run alone.
setDefaultTimeout(LIMIT_MS);

/** What follows "banger" in a quoted text that is no command, but a sentence or a seed. */
const SENTENCES = /^(takes|reads|keeps|mac|ext4?|on|is|has|did|made|VALUE)\b|^$/;

const files = listFiles();

test("commands in messages, hints and comments are what the parser takes", () => {
  const sources = files.filter(
    (path) => /^(src|sdk|guest)\/.*\.(ts|sh)$/.test(path) && !isTest(path),
  );
  expectNone(
    sources.flatMap((path) =>
      readSource(path).lines.flatMap((line, index) =>
        commandsInSource(line).flatMap((text) => wrong(`${path}:${index + 1}`, text)),
      ),
    ),
  );
});

test("the commands of the documentation are what the parser takes", () => {
  const pages = files.filter((path) => path.endsWith(".md"));
  expect(pages.length).toBeGreaterThan(10);
  let count = 0;
  const mistakes = pages.flatMap((path) =>
    commandsInPage(readSource(path).text).flatMap(({ line, text }) => {
      count++;
      return wrong(`${path}:${line}`, text);
    }),
  );
  expectNone(mistakes);
  expect(count).toBeGreaterThan(150);
});

test("the examples of each help text are what the parser takes", () => {
  const examples = examplesOf(root);
  expect(examples.length).toBeGreaterThan(150);
  expectNone(examples.flatMap((text) => wrong("help", text, { isWhole: true })));
});

test("the checks above see what they are meant to see", () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is looked for in sources
  const source = "hint: `Try: banger vm frob --now ${each.map((x) => x)}`, // or (banger vm list)";
  expect(commandsInSource(source)).toEqual([`banger vm frob --now ${VALUE}`, "banger vm list"]);
  expect(wrong("x", "banger vm frob")).toHaveLength(1);
  expect(wrong("x", "banger vm start --frob box")).toHaveLength(1);
  expect(wrong("x", "banger vm start")).toEqual([]);
  expect(wrong("x", "banger vm start", { isWhole: true })).toHaveLength(1);
  expect(wrong("x", "sudo banger ssh box && banger vm exec -it box sh -c 'a | b'")).toEqual([]);
  expect(shellCommands(`a "b c" | d 2>/dev/null > f; e $(g h) # i`)).toEqual([
    ["a", "b c"],
    ["d"],
    ["g", "h"],
    ["e", VALUE],
  ]);
  const page = "Text `banger vm ls` and\n\n    $ banger a \\\n      b\n    said banger\n";
  expect(commandsInPage(page)).toEqual([
    { line: 1, text: "banger vm ls" },
    { line: 3, text: "banger a    b" },
  ]);
});

/** Up to where the sentence goes on: a command in the middle of one stands in quotes or parentheses. */
function commandsInSource(line: string): string[] {
  const plain = line.replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, VALUE);
  const shown = /(?:^|["'`(:$]\s?|sudo )(banger [^"`;)…{]*)/g;
  return [...plain.matchAll(shown)]
    .map(([, text = ""]) =>
      text.replace(/,? (?:or|and|then|to|makes|shows|prints|takes|is)\b.*|[,.] .*|[,.]$|\\n.*/, ""),
    )
    .filter((text) => !SENTENCES.test(text.slice("banger ".length)));
}

/** Lines of blocks of code, with those that they go on in, and code within a sentence. */
function commandsInPage(text: string): { line: number; text: string }[] {
  const found: { line: number; text: string }[] = [];
  let isFenced = false;
  let open: { line: number; text: string } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    if (/^\s*```/.test(line)) isFenced = !isFenced;
    else if (open) {
      open.text = `${open.text} ${line.replace(/^ {4}/, "")}`;
    } else if (isFenced || /^ {4}\S/.test(line)) {
      const command = /^\s*(?:\$ |# )?((?:sudo |[A-Z_]+=\S+ )*banger [a-z-].*)$/.exec(line)?.[1];
      const other = command ?? (/[|(]\s*banger /.test(line) ? line : undefined);
      if (other !== undefined) open = { line: index + 1, text: other };
    } else {
      for (const [, code = ""] of line.matchAll(/`((?:sudo )?banger [^`]*)`/g)) {
        found.push({ line: index + 1, text: code });
      }
    }
    if (open?.text.endsWith("\\")) open.text = open.text.slice(0, -1);
    else if (open) {
      found.push(open);
      open = undefined;
    }
  }
  return found;
}

function wrong(place: string, text: string, { isWhole = false } = {}): string[] {
  // What may be left out, and one of several, as a synopsis has them.
  const plain = text.replaceAll(/\[[^\]]*\]/g, "").replaceAll(/(\S)\|\S+/g, "$1");
  return bangerCommands(plain).flatMap((words) => {
    const mistake = mistakeIn(words);
    if (mistake === undefined) return [];
    // A sentence may name a command without what it is given.
    if (!isWhole && /missing required argument/.test(mistake)) return [];
    return [`${place}: banger ${words.join(" ")}: ${mistake}`];
  });
}

function examplesOf(node: Node): string[] {
  if (node.kind === "command") return [...node.examples];
  return Object.values(node.commands).flatMap(examplesOf);
}

function expectNone(mistakes: readonly string[]): void {
  if (mistakes.length > 0) throw new Error(`No such command:\n  ${mistakes.join("\n  ")}`);
}
