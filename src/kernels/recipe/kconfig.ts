/**
 * Explains why an option is off, from the options and dependencies in a kernel's Kconfig files. Grammar:
 * Documentation/kbuild/kconfig-language.rst of the kernel.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { conjuncts, isTrue, type LookUp } from "./kconfig-expr.ts";

const MAX_FILES = 5000;
const MAX_REASONS = 4;

/** One definition of an option; an option may have several. */
interface Definition {
  depends: string[];
  /** The prompt's condition; undefined if only `select` can set it. */
  prompt: string | undefined;
}

export type OptionTable = ReadonlyMap<string, readonly Definition[]>;

/** `srcArch`: the directory in arch/, such as "x86". */
export function readOptions(tree: string, srcArch: string): OptionTable {
  const reader = new KconfigReader(tree, srcArch);
  reader.read("Kconfig");
  return reader.table;
}

/** Why an option is off: "it needs NETFILTER_XTABLES, which is off". */
export function explainDisabled(option: string, table: OptionTable, lookUp: LookUp): string {
  const definitions = table.get(option);
  if (!definitions) return "no such option in this kernel";
  const unmet = definitions.map(({ depends }) =>
    depends.flatMap(conjuncts).filter((condition) => !isTrue(condition, lookUp)),
  );
  const fewest = unmet.toSorted((a, b) => a.length - b.length)[0] ?? [];
  if (fewest.length > 0) {
    const shown = [...new Set(fewest)].slice(0, MAX_REASONS);
    return `it needs ${shown.map((condition) => describe(condition, table)).join(" and ")}`;
  }
  const prompts = definitions.flatMap(({ prompt }) => prompt ?? []);
  if (prompts.length === 0) return "it can only be selected by another option";
  const hidden = prompts.filter((condition) => !isTrue(condition, lookUp));
  if (hidden.length === prompts.length) return `it can be set only if ${hidden[0]}`;
  return "it conflicts with another option of the recipe";
}

function describe(condition: string, table: OptionTable): string {
  if (!/^\w+$/.test(condition)) return `"${condition}"`;
  return table.has(condition) ? `${condition}, which is off` : `${condition}, which does not exist`;
}

class KconfigReader {
  readonly table = new Map<string, Definition[]>();
  readonly #tree: string;
  readonly #srcArch: string;
  /** Conditions of the enclosing `if`, `menu` and `choice` blocks. */
  readonly #blocks: string[][] = [];
  #files = 0;

  constructor(tree: string, srcArch: string) {
    this.#tree = tree;
    this.#srcArch = srcArch;
  }

  read(file: string): void {
    const path = join(this.#tree, file);
    if (++this.#files > MAX_FILES || !existsSync(path)) return;
    let current: Definition | undefined;
    let helpIndent = -1;
    for (const line of readFileSync(path, "utf8").replaceAll("\\\n", " ").split("\n")) {
      const text = line.trim();
      if (text === "" || text.startsWith("#")) continue;
      const indent = indentOf(line);
      if (helpIndent === 0) helpIndent = indent;
      if (helpIndent > 0) {
        if (indent >= helpIndent) continue;
        helpIndent = -1;
      }
      if (text === "help") {
        // Help text ends at the first line with less indentation.
        helpIndent = 0;
        continue;
      }
      current = this.#take(text, current);
    }
  }

  /** Parses one line and returns the current definition. */
  #take(text: string, current: Definition | undefined): Definition | undefined {
    const [word = ""] = text.split(/\s/, 1);
    const rest = text.slice(word.length).trim();
    switch (word) {
      case "config":
      case "menuconfig":
        return this.#define(rest);
      case "if":
        this.#blocks.push([rest]);
        return undefined;
      case "menu":
      case "choice":
        this.#blocks.push([]);
        return undefined;
      case "endif":
      case "endmenu":
      case "endchoice":
        this.#blocks.pop();
        return undefined;
      case "comment":
        return { depends: [], prompt: undefined };
      case "source":
        this.read(rest.replace(/^"|"$/g, "").replaceAll("$(SRCARCH)", this.#srcArch));
        return undefined;
      case "depends":
        (current?.depends ?? this.#blocks.at(-1))?.push(withoutComment(rest.replace(/^on\s+/, "")));
        return current;
      default:
        if (current) notePrompt(current, word, rest);
        return current;
    }
  }

  #define(name: string): Definition {
    const definition: Definition = { depends: this.#blocks.flat(), prompt: undefined };
    const others = this.table.get(name);
    if (others) others.push(definition);
    else this.table.set(name, [definition]);
    return definition;
  }
}

/** `bool "Title" if CONDITION`, or `prompt "Title"`. */
function notePrompt(definition: Definition, word: string, rest: string): void {
  if (!["bool", "tristate", "int", "hex", "string", "prompt"].includes(word)) return;
  const match = /^(?:"(?:[^"\\]|\\.)*"|'[^']*')(?:\s+if\s+(.*))?$/.exec(rest);
  if (match) definition.prompt = withoutComment(match[1] ?? "y");
}

function withoutComment(condition: string): string {
  return condition.replace(/\s#.*$/, "");
}

function indentOf(line: string): number {
  let columns = 0;
  for (const character of line) {
    if (character === "\t") columns += 8 - (columns % 8);
    else if (character === " ") columns++;
    else break;
  }
  return columns;
}
