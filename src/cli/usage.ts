/** Mistakes in a command line, in our grammar and with a hint. */
import type { Command, CommanderError } from "commander";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { dockerOptionHint } from "./docker-options.ts";
import { shortcuts } from "./spec/root.ts";

/** `command` is the one whose words could not be understood. */
export function fromCommander({ code, message }: CommanderError, command: Command): BangerError {
  const problem = message
    .replace(/^error: /, "")
    .replace(/\s*\(Did you mean .*$/s, "")
    .replace(/\.$/, "")
    .replace(/'([^']*)'/g, '"$1"');
  const word = /"([^"]*)"/.exec(problem)?.[1] ?? "";
  const ofDocker = code === "commander.unknownOption" ? dockerOptionHint(word) : undefined;
  return new BangerError("invalid_argument", `Cannot understand the command: ${problem}`, {
    hint:
      ofDocker ??
      didYouMean(
        word,
        knownWords(code, command),
        `See how it is used with: ${pathOf(command)} --help`,
      ),
  });
}

/** What could have been meant. */
function knownWords(code: string, command: Command): string[] {
  if (code === "commander.unknownCommand") {
    const own = command.commands.flatMap((each) => [each.name(), ...each.aliases()]);
    return command.parent ? own : [...own, ...Object.keys(shortcuts)];
  }
  if (code !== "commander.unknownOption") return [];
  const lineage = [command, command.parent].filter((each) => each !== null);
  return [...new Set(lineage.flatMap((each) => each.options.flatMap(({ long }) => long ?? [])))];
}

/** "banger vm run", as it was typed. */
export function pathOf(command: Command): string {
  const parent = command.parent ? `${pathOf(command.parent)} ` : "";
  return `${parent}${command.name()}`;
}
