/**
 * Builds the parser of the command tree. Only the command on the command line is filled in; of the others the parser
 * knows no more than the names.
 */
import { Argument, Command, Option } from "commander";
import { BangerError, messageOf } from "#base/error.ts";
import type { ProgressMode } from "#cli/progress/options.ts";
import { globalFlags } from "./spec/flags.ts";
import { root, shortcuts } from "./spec/root.ts";
import type {
  Arg,
  Args,
  CommandSpec,
  Flag,
  Flags,
  GroupSpec,
  Node,
  RawValue,
} from "./spec/types.ts";

/** A command line, understood: which command, and its input as its description has it. */
export interface Invocation {
  path: readonly string[];
  args: Record<string, unknown>;
  flags: Record<string, unknown>;
  json: boolean;
  quiet: boolean;
  noColor: boolean;
  progress: ProgressMode;
}

/** Called with what the chosen command was given. */
type OnInvoke = (invocation: Invocation) => void;

export function makeProgram(words: readonly string[], onInvoke: OnInvoke): Command {
  const program = new Command("banger")
    .description(root.brief)
    .enablePositionalOptions()
    .helpOption("-h, --help", "Show help")
    .configureHelp({ subcommandTerm: termOf })
    .helpCommand(false);
  addFlags(program, globalFlags);
  const progressFlag = makeOption(globalFlags.progress).long;
  const [wanted, ...rest] = words.filter(
    (word, at) => !word.startsWith("-") && words[at - 1] !== progressFlag,
  );
  const shortcut = wanted === undefined ? undefined : shortcuts[wanted];
  const make = (name: string, node: Node, path: readonly string[]): Command => {
    const isNeeded = wanted === undefined || wanted === name;
    return fill(new Command(name), node, { path, rest, isNeeded, program, onInvoke });
  };
  for (const [name, node] of Object.entries(root.commands)) {
    const command = make(name, node, [name]);
    command.helpGroup(node.kind === "group" ? "Management commands:" : "Commands:");
    program.addCommand(command, { hidden: isHidden(node) });
  }
  if (wanted !== undefined && shortcut) {
    program.addCommand(make(wanted, commandAt(shortcut), shortcut), { hidden: true });
  }
  const names = Object.keys(shortcuts).join(" ");
  const short = `\nShortcuts for common commands, such as \`banger run\` for \`banger vm run\`:\n  ${names}\n`;
  program.addHelpText("after", `${short}${examplesText(EXAMPLES)}`);
  return program;
}

const EXAMPLES = [
  "banger kernel pull debian-6.12",
  "banger image pull debian:bookworm",
  "banger vm create --image debian-bookworm --name testbox --nat",
  "banger vm ssh testbox",
  "banger run debian:bookworm -- uname -a",
];

/** The description at `path`, which names one of the tree's commands. */
export function commandAt(path: readonly string[]): CommandSpec {
  let node: Node = root;
  for (const name of path) {
    const next: Node | undefined = node.kind === "group" ? node.commands[name] : undefined;
    if (!next) throw new Error(`no command "${path.join(" ")}"`);
    node = next;
  }
  if (node.kind === "group") throw new Error(`"${path.join(" ")}" is a group of commands`);
  return node;
}

/** In the list of a group's commands. */
function termOf(command: Command): string {
  return [command.name(), ...command.aliases()].join(", ");
}

function examplesText(lines: readonly string[]): string {
  return `\nExamples:\n  ${lines.join("\n  ")}`;
}

interface Filling {
  path: readonly string[];
  /** Words behind it that are no flags: what is in a group is filled in if the first of them names it. */
  rest: readonly string[];
  isNeeded: boolean;
  program: Command;
  onInvoke: OnInvoke;
}

function fill(command: Command, node: Node, filling: Filling): Command {
  command.description(node.brief).copyInheritedSettings(filling.program);
  // A shortcut stands for itself alone.
  const isShortcut = command.name() !== filling.path.at(-1);
  if (!isShortcut) command.aliases(aliasesOf(node));
  if (!filling.isNeeded) return command;
  if (node.kind === "group") return fillGroup(command, node, filling);
  for (const [name, arg] of Object.entries(node.args)) command.addArgument(makeArgument(name, arg));
  addFlags(command, { ...node.flags, ...globalFlags });
  if (node.isPassThrough) command.passThroughOptions();
  const details = node.details ? `\n${node.details}\n` : "";
  command.addHelpText("after", details + examplesText(node.examples));
  return command.action(() => filling.onInvoke(read(command, node, filling)));
}

function fillGroup(command: Command, node: GroupSpec, filling: Filling): Command {
  command.enablePositionalOptions().helpCommand(false);
  addFlags(command, globalFlags);
  const [wanted, ...rest] = filling.rest;
  for (const [name, child] of Object.entries(node.commands)) {
    const path = [...filling.path, name];
    const isNeeded = wanted === undefined || [name, ...aliasesOf(child)].includes(wanted);
    const filled = fill(new Command(name), child, { ...filling, path, rest, isNeeded });
    command.addCommand(filled, { hidden: isHidden(child) });
  }
  return command;
}

function aliasesOf(node: Node): string[] {
  return node.kind === "command" ? [...(node.aliases ?? [])] : [];
}

function isHidden(node: Node): boolean {
  return node.kind === "command" && node.isHidden === true;
}

const brackets = {
  one: (name: string) => `<${name}>`,
  optional: (name: string) => `[${name}]`,
  some: (name: string) => `<${name}...>`,
  any: (name: string) => `[${name}...]`,
};

function makeArgument(name: string, arg: Arg): Argument {
  return new Argument(brackets[arg.count](name), arg.brief);
}

function addFlags(command: Command, flags: Flags): void {
  for (const flag of Object.values(flags)) command.addOption(makeOption(flag));
}

function makeOption(flag: Flag): Option {
  const option = new Option(flag.syntax, flag.brief);
  if (flag.choices) option.choices([...flag.choices]);
  if (flag.isHidden) option.hideHelp();
  if (flag.isList) {
    option.argParser<string[]>((text, earlier = []) => [...earlier, text]);
  }
  return option;
}

function read(command: Command, spec: CommandSpec, { path, program }: Filling): Invocation {
  // A global flag counts wherever it stands.
  const commands = [command, command.parent, program].filter((each) => each !== null);
  const given = (flag: Flag) => commands.some((each) => readFlag(each, flag) === true);
  return {
    path,
    args: readArgs(command, spec.args),
    flags: Object.fromEntries(
      Object.entries(spec.flags).map(([name, flag]) => [name, readFlag(command, flag)]),
    ),
    json: given(globalFlags.json),
    quiet: given(globalFlags.quiet),
    noColor: given(globalFlags.noColor),
    progress: commands.map((each) => readFlag(each, globalFlags.progress)).find(isMode) ?? "auto",
  };
}

function isMode(value: unknown): value is ProgressMode {
  return value !== undefined;
}

function readArgs(command: Command, args: Args): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(args).map(([name, arg], index) => {
      const raw: unknown = command.processedArgs[index];
      if (!Array.isArray(raw)) return [name, raw];
      return [name, raw[0] === "--" && !arg.isVerbatim ? raw.slice(1) : raw];
    }),
  );
}

function readFlag(command: Command, flag: Flag): unknown {
  const name = makeOption(flag).attributeName();
  try {
    return flag.read(command.getOptionValue(name) as RawValue);
  } catch (error) {
    const { hint, code } = error instanceof BangerError ? error : {};
    const long = /--[a-z-]+/.exec(flag.syntax)?.[0];
    throw new BangerError(
      code ?? "invalid_argument",
      `invalid value for ${long}: ${messageOf(error)}`,
      {
        hint,
      },
    );
  }
}
