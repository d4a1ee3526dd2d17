/** Completion candidates for a partial command line. */
import { asGuestPath } from "#cli/args/guest-path.ts";
import { globalFlags } from "#cli/spec/flags.ts";
import { root, shortcuts } from "#cli/spec/root.ts";
import type { Arg, Flag, Node } from "#cli/spec/types.ts";

export interface Candidate {
  value: string;
  description: string;
}

/** What the daemon is asked for. */
export type Query =
  | { kind: "vm"; suffix?: string }
  | { kind: "image" | "kernel" | "catalog" | "network" | "snapshot" | "secret" | "volume" }
  | { kind: "session"; vm: string }
  /** What is in the directory of `path`; `prefix` is put before each path. */
  | { kind: "file"; vm: string; path: string; prefix: string };

export interface Completion {
  candidates: readonly Candidate[];
  /** To be added to the candidates, asked from the daemon. */
  names?: Query;
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
  const { given, open } = readWords(rest, { flags, isPassThrough: node.isPassThrough === true });
  const [vm = ""] = given;
  if (open) return valuesOf(open, { current, vm });
  const args = Object.values(node.args);
  // What follows the first argument of such a command is the guest's, and so are its paths.
  if (node.isPassThrough && given.length > 0 && args[given.length]?.completes === undefined) {
    const isOfMachine = args[0]?.completes === "vm" && current.startsWith("/");
    return isOfMachine ? guestPaths({ vm, path: current, prefix: "" }) : NOTHING;
  }
  if (current.startsWith("-")) {
    const [name, text] = splitFlag(current);
    const flag = text === undefined ? undefined : findFlag(flags, name);
    if (flag) return valuesOf(flag, { current: text ?? "", vm });
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

/** The arguments so far, and the flag that still wants its value. */
function readWords(
  words: readonly string[],
  { flags, isPassThrough }: { flags: Record<string, Flag>; isPassThrough: boolean },
) {
  const given: string[] = [];
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
      given.push(word);
      isOptionsOver ||= isPassThrough;
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
  return { candidates: [...candidates, { value: "--help", description: "Show help" }] };
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

function argValues(args: readonly Arg[], given: readonly string[], current: string): Completion {
  const last = args.at(-1);
  const isList = last?.count === "some" || last?.count === "any";
  const arg = args[given.length] ?? (isList ? last : undefined);
  return arg ? valuesOf(arg, { current, vm: given[0] ?? "" }) : NOTHING;
}

/** `vm`: the first argument, which sessions are of. */
function valuesOf(
  { choices = [], completes }: Pick<Flag, "choices" | "completes">,
  { current, vm }: { current: string; vm: string },
): Completion {
  const candidates = choices.map((value) => ({ value, description: "" }));
  const completion: Completion = { candidates };
  switch (completes) {
    case undefined:
      return completion;
    case "path":
      return { ...completion, isPath: true };
    case "session":
      return { ...completion, names: { kind: "session", vm } };
    case "file":
      return guestPathOf(current) ?? { ...completion, names: { kind: "vm", suffix: ":" } };
    case "file-or-path":
      if (/^[./~]/.test(current)) return { ...completion, isPath: true };
      return (
        guestPathOf(current) ?? {
          ...completion,
          names: { kind: "vm", suffix: ":" },
          isPath: true,
        }
      );
    case "image":
      // A name of banger's has no slash at its beginning; what has one is a file.
      if (/^[./~]/.test(current)) return { ...completion, isPath: true };
      return { ...completion, names: { kind: "image" } };
    default:
      return { ...completion, names: { kind: completes } };
  }
}

/** Undefined until the machine is named, as in "testbox:". */
function guestPathOf(current: string): Completion | undefined {
  const guest = asGuestPath(current);
  if (!guest) return undefined;
  const path = current.slice(guest.name.length + 1);
  return guestPaths({ vm: guest.name, path, prefix: `${guest.name}:` });
}

function guestPaths(of: { vm: string; path: string; prefix: string }): Completion {
  return { candidates: [], names: { kind: "file", ...of } };
}
