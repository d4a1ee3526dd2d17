/** What could come next on a command line that is being typed. */
import { globalFlags } from "#cli/spec/flags.ts";
import { root, shortcuts } from "#cli/spec/root.ts";
import type { Arg, Completes, Flag, Node } from "#cli/spec/types.ts";

export interface Candidate {
  value: string;
  description: string;
}

export interface Completion {
  candidates: readonly Candidate[];
  /** To be added to the candidates, asked from the daemon. */
  names?: Exclude<Completes, "path" | "file" | "file-or-path">;
  /** Files of the caller's. */
  isPath?: boolean;
}

const NOTHING: Completion = { candidates: [] };

/** `words` are those before the one at the cursor, whose beginning is `current`. */
export function complete(words: readonly string[], current: string): Completion {
  const { node, rest } = descend(words);
  if (node.kind === "group") {
    return current.startsWith("-") ? flagNames({}, current) : commandNames(node, current);
  }
  const flags = { ...node.flags, ...globalFlags };
  const { given, open } = readWords(rest, flags);
  if (open) return valuesOf(open, current);
  const args = Object.values(node.args);
  // What follows the first argument of such a command is not ours to know.
  if (node.isPassThrough && given > 0) return { candidates: [], isPath: true };
  if (current.startsWith("-")) {
    const [name, text] = splitFlag(current);
    const flag = text === undefined ? undefined : findFlag(flags, name);
    if (flag) return valuesOf(flag, text ?? "");
    return flagNames(flags, current);
  }
  return argValues(args, given, current);
}

/** Walks down the tree along the commands that were named. */
function descend(words: readonly string[]): { node: Node; rest: readonly string[] } {
  let node: Node = root;
  for (let at = 0; at < words.length; at++) {
    if (node.kind === "command") return { node, rest: words.slice(at) };
    const word = words[at] ?? "";
    // Before the command there are toggles only.
    if (word.startsWith("-")) continue;
    const path: readonly string[] = (node === root ? shortcuts[word] : undefined) ?? [word];
    let next: Node | undefined = node;
    for (const name of path) next = next && childOf(next, name);
    if (!next) return { node: { kind: "group", brief: "", commands: {} }, rest: [] };
    node = next;
  }
  return { node, rest: [] };
}

function childOf(node: Node, name: string): Node | undefined {
  if (node.kind === "command") return undefined;
  const { commands } = node;
  if (Object.hasOwn(commands, name)) return commands[name];
  return Object.values(commands).find(
    (each) => each.kind === "command" && each.aliases?.includes(name),
  );
}

/** How many arguments there are, and the flag that still wants its value. */
function readWords(words: readonly string[], flags: Record<string, Flag>) {
  let given = 0;
  let open: Flag | undefined;
  let isOptionsOver = false;
  for (const word of words) {
    if (open) {
      open = undefined;
    } else if (word === "--" && !isOptionsOver) {
      isOptionsOver = true;
    } else if (word.startsWith("-") && !isOptionsOver) {
      const [name, text] = splitFlag(word);
      const flag = findFlag(flags, name);
      if (flag && text === undefined && takesValue(flag)) open = flag;
    } else {
      given++;
    }
  }
  return { given, open };
}

function splitFlag(word: string): [string, string | undefined] {
  const at = word.indexOf("=");
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

function findFlag(flags: Record<string, Flag>, name: string): Flag | undefined {
  return Object.values(flags).find(({ syntax }) => namesOf(syntax).includes(name));
}

/** "-m, --memory <size>" has the names "-m" and "--memory". */
function namesOf(syntax: string): string[] {
  return syntax.split(/[ ,]+/).filter((part) => part.startsWith("-"));
}

function takesValue({ syntax }: Flag): boolean {
  return syntax.includes("<");
}

function flagNames(flags: Record<string, Flag>, current: string): Completion {
  const candidates = Object.values({ ...flags, ...globalFlags })
    .filter(({ isHidden }) => !isHidden)
    .flatMap(({ syntax, brief }) =>
      namesOf(syntax)
        .filter((name) => name.startsWith("--") || current === "-")
        .map((value) => ({ value, description: brief })),
    );
  return { candidates: [...candidates, { value: "--help", description: "Show how it is used" }] };
}

function commandNames(node: Extract<Node, { kind: "group" }>, current: string): Completion {
  const own = Object.entries(node.commands)
    .filter(([, each]) => each.kind === "group" || !each.isHidden)
    .map(([value, { brief }]) => ({ value, description: brief }));
  // The short ones are many: they are offered once something was typed.
  const short = Object.entries(node === root && current !== "" ? shortcuts : {}).map(
    ([value, path]) => ({ value, description: `banger ${path.join(" ")}` }),
  );
  return { candidates: [...own, ...short] };
}

function argValues(args: readonly Arg[], given: number, current: string): Completion {
  const last = args.at(-1);
  const isList = last?.count === "some" || last?.count === "any";
  const arg = args[given] ?? (isList ? last : undefined);
  return arg ? valuesOf(arg, current) : NOTHING;
}

function valuesOf(
  { choices = [], completes }: Pick<Flag, "choices" | "completes">,
  current: string,
): Completion {
  const candidates = choices.map((value) => ({ value, description: "" }));
  const completion: Completion = { candidates };
  if (completes === "file") return { ...completion, names: "vm" };
  if (completes === "file-or-path") return { ...completion, names: "vm", isPath: true };
  if (completes === "path") return { ...completion, isPath: true };
  // A name of banger's has no slash at its beginning; what has one is a file.
  if (completes === "image" && /^[./~]/.test(current)) return { ...completion, isPath: true };
  return completes ? { ...completion, names: completes } : completion;
}
