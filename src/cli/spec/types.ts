/**
 * The vocabulary of the command tree. A command is described here as data, apart from what
 * it does; the types of a handler's input follow from its description.
 */

/** What the shell completes a value from. */
export type Completes =
  | "vm"
  | "image"
  | "kernel"
  | "catalog"
  | "network"
  | "session"
  | "snapshot"
  | "secret"
  | "volume"
  | "path"
  | "file"
  | "file-or-path";

/** As the parser gives it: a toggle is a boolean, a value text, a list texts. */
export type RawValue = boolean | string | readonly string[] | undefined;

export interface Flag<T = unknown> {
  /** As in help: "-m, --memory <size>". */
  syntax: string;
  brief: string;
  isList: boolean;
  /** Throws `invalid_argument`, without the flag's name. */
  read: (raw: RawValue) => T;
  choices?: readonly string[];
  completes?: Completes;
  isHidden?: boolean;
}

export interface Arg<T = unknown> {
  count: "one" | "optional" | "some" | "any";
  brief: string;
  /** For completion only. */
  choices?: readonly string[];
  completes?: Completes;
  /** Keeps a leading "--", which otherwise only says that options are over. */
  isVerbatim?: boolean;
  /** Only for its type. */
  value?: T;
}

export type Flags = Record<string, Flag>;
export type Args = Record<string, Arg>;

export interface CommandSpec<A extends Args = Args, F extends Flags = Flags> {
  kind: "command";
  brief: string;
  /** More than a line, below the usage. */
  details?: string;
  aliases?: readonly string[];
  args: A;
  flags: F;
  /** Whole command lines. */
  examples: readonly string[];
  /** Everything after the first argument belongs to the command that is run. */
  isPassThrough?: boolean;
  isHidden?: boolean;
  /** It goes on until it is interrupted, which is then nothing to be told. */
  isEndless?: boolean;
}

export interface GroupSpec<C extends Record<string, Node> = Record<string, Node>> {
  kind: "group";
  brief: string;
  commands: C;
}

export type Node = CommandSpec | GroupSpec;

export interface Input<C extends CommandSpec> {
  args: { [K in keyof C["args"]]: C["args"][K] extends Arg<infer T> ? T : never };
  flags: { [K in keyof C["flags"]]: C["flags"][K] extends Flag<infer T> ? T : never };
}

interface FlagOptions {
  completes?: Completes;
  isHidden?: boolean;
}

interface ArgOptions {
  choices?: readonly string[];
  completes?: Completes;
  isVerbatim?: boolean;
}

type Described<A extends Args, F extends Flags> = Omit<CommandSpec, "kind" | "args" | "flags"> & {
  args?: A;
  flags?: F;
};

// biome-ignore lint/complexity/noBannedTypes: a command without arguments has an empty record of them
export function command<A extends Args = {}, F extends Flags = {}>(
  spec: Described<A, F>,
): CommandSpec<A, F> {
  const { args, flags, ...rest } = spec;
  return { kind: "command", args: args ?? ({} as A), flags: flags ?? ({} as F), ...rest };
}

export function group<C extends Record<string, Node>>(brief: string, commands: C): GroupSpec<C> {
  return { kind: "group", brief, commands };
}

export function toggle(syntax: string, brief: string, options: FlagOptions = {}): Flag<boolean> {
  // A negation such as "--no-start" comes as false when it is given.
  const given = !/(^|\s)--no-/.test(syntax);
  return { syntax, brief, isList: false, read: (raw) => raw === given, ...options };
}

export function value<T>(
  syntax: string,
  brief: string,
  parse: (text: string) => T,
  options: FlagOptions = {},
): Flag<T | undefined> {
  const read = (raw: RawValue) => (typeof raw === "string" ? parse(raw) : undefined);
  return { syntax, brief, isList: false, read, ...options };
}

export function choice<const C extends string>(
  syntax: string,
  brief: string,
  choices: readonly C[],
): Flag<C | undefined> {
  const read = (raw: RawValue) => choices.find((each) => each === raw);
  return { syntax, brief, isList: false, read, choices };
}

export function list(syntax: string, brief: string, options: FlagOptions = {}): Flag<string[]> {
  const read = (raw: RawValue) => (Array.isArray(raw) ? raw.map(String) : []);
  return { syntax, brief, isList: true, read, ...options };
}

export function one(brief: string, options: ArgOptions = {}): Arg<string> {
  return { count: "one", brief, ...options };
}

export function optional(brief: string, options: ArgOptions = {}): Arg<string | undefined> {
  return { count: "optional", brief, ...options };
}

export function some(brief: string, options: ArgOptions = {}): Arg<string[]> {
  return { count: "some", brief, ...options };
}

export function any(brief: string, options: ArgOptions = {}): Arg<string[]> {
  return { count: "any", brief, ...options };
}
