/** Usage errors, with a hint. */
import type { Command, CommanderError } from "commander";
import { BangerError } from "#base/error.ts";
import { didYouMean, similarNames } from "#base/similar.ts";
import { dockerOptionHint, dockerValueHint } from "./docker-options.ts";
import { root, shortcuts } from "./spec/root.ts";
import type { GroupSpec, Node } from "./spec/types.ts";

/** What removes or ends something is not offered to somebody who typed something else. */
const DESTRUCTIVE = new Set(
  "rm rmi remove delete prune kill gc unpublish stop disable disconnect deny restart".split(" "),
);
const OFFERED_MAX = 3;

/** Words of docker, podman, libvirt and the like whose command has another name here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  up: "vm start",
  boot: "vm start",
  down: "vm stop",
  shutdown: "vm stop",
  poweroff: "vm stop",
  reboot: "vm restart",
  reset: "vm restart",
  destroy: "vm kill",
  shell: "vm ssh",
  login: "vm ssh",
  connect: "vm ssh",
  enter: "vm ssh",
  console: "vm logs",
  info: "vm show",
  describe: "vm show",
  status: "daemon status",
  check: "doctor",
  copy: "vm cp",
  scp: "vm cp",
  download: "image pull",
  load: "image pull",
  export: "image save",
  system: "image du",
  df: "image du",
};

/** git's and rsync's words for what is done with workspaces. */
const IN_WORKSPACES: Readonly<Record<string, string>> = {
  push: "import",
  add: "import",
  pull: "fetch",
  merge: "apply",
  patch: "export",
  save: "export",
  commit: "checkpoint",
  snapshot: "checkpoint",
  checkout: "restore",
  reset: "restore",
  watch: "sync",
  mirror: "sync",
};

/** `command` is the one whose words could not be understood. */
export function fromCommander({ code, message }: CommanderError, command: Command): BangerError {
  const problem = message
    .replace(/^error: /, "")
    .replace(/\s*\(Did you mean .*$/s, "")
    .replace(/\.$/, "")
    .replace(/'([^']*)'/g, '"$1"');
  return new BangerError("invalid_argument", problem, {
    hint: hintFor(code, problem, command) ?? `See usage with: ${pathOf(command)} --help`,
  });
}

function hintFor(code: string, problem: string, command: Command): string | undefined {
  const word = /"([^"]*)"/.exec(problem)?.[1] ?? "";
  if (code === "commander.unknownCommand") {
    const path = pathOf(command).split(" ").slice(1);
    if (path.join(" ") === "config") return configHint(word);
    const meant = commandsMeant(word, path);
    if (meant.length === 0) return undefined;
    return `Did you mean ${meant.map((each) => `"banger ${each}"`).join(" or ")}?`;
  }
  if (code === "commander.invalidArgument") {
    const [, option, value] =
      /option "(?:-\w, )?(--[a-z-]+)[^"]*" argument "([^"]*)"/.exec(problem) ?? [];
    return option && value !== undefined ? dockerValueHint(option, value) : undefined;
  }
  if (code !== "commander.unknownOption") return undefined;
  return (
    dockerOptionHint(word, pathOf(command).split(" ").slice(1).join(" ")) ??
    didYouMean(word, optionsOf(command))
  );
}

/** The configuration is a file, which no command changes. */
function configHint(word: string): string {
  const isChange = /^(set|unset|edit|add|rm|delete)$/.test(word);
  if (!isChange) return "Show the settings with: banger config show";
  return "Edit the configuration file ($EDITOR $(banger config path)), then: banger daemon restart";
}

/** The commands that `word` may have been meant for, where it was typed behind `path`. */
export function commandsMeant(word: string, path: readonly string[]): string[] {
  const here = path.join(" ");
  const own = here === "vm workspace" ? IN_WORKSPACES[word] : undefined;
  if (own) return [`${here} ${own}`];
  const all = namedCommands(root, []);
  // Its very name, in another place: that is no guess, whatever it does.
  const exact = all.filter(({ name }) => name === word).map(({ line }) => line);
  if (exact.length > 0) return unique(exact);
  const harmless = [...(here === "" ? shortNames() : []), ...all].filter(
    ({ name, line }) => !DESTRUCTIVE.has(name) && !DESTRUCTIVE.has(line.split(" ").at(-1) ?? ""),
  );
  const near = similarNames(word, [...new Set(harmless.map(({ name }) => name))]);
  const meant = near.flatMap((name) => {
    const found = harmless.filter((each) => each.name === name);
    const nearby = found.filter(({ group }) => group === here);
    return nearby.length > 0 ? nearby : found;
  });
  const known = ELSEWHERE[word];
  return meant.length === 0 && known ? [known] : unique(meant.map(({ line }) => line));
}

interface Named {
  /** What is typed last, which may be an alias. */
  name: string;
  /** The groups before it. */
  group: string;
  /** The whole command, by its own name. */
  line: string;
}

function namedCommands(group: GroupSpec, path: readonly string[]): Named[] {
  return Object.entries(group.commands).flatMap(([own, node]) => {
    if (isHidden(node)) return [];
    const line = [...path, own].join(" ");
    const names = [own, ...(node.kind === "command" ? (node.aliases ?? []) : [])];
    const found = names.map((name) => ({ name, group: path.join(" "), line }));
    return node.kind === "group" ? [...found, ...namedCommands(node, [...path, own])] : found;
  });
}

function isHidden(node: Node): boolean {
  return node.kind === "command" && node.isHidden === true;
}

function shortNames(): Named[] {
  return Object.keys(shortcuts).map((name) => ({ name, group: "", line: name }));
}

function unique(lines: readonly string[]): string[] {
  return [...new Set(lines)].slice(0, OFFERED_MAX);
}

function optionsOf(command: Command): string[] {
  const lineage = [command, command.parent].filter((each) => each !== null);
  return [...new Set(lineage.flatMap((each) => each.options.flatMap(({ long }) => long ?? [])))];
}

/** "banger vm run", as it was typed. */
export function pathOf(command: Command): string {
  const parent = command.parent ? `${pathOf(command.parent)} ` : "";
  return `${parent}${command.name()}`;
}
