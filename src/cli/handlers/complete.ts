import { safeLine } from "#base/printable.ts";
import { writeOut } from "#base/stdio.ts";
import { complete } from "#cli/completion/complete.ts";
import { namesOf } from "#cli/completion/names.ts";
import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";

/** What the scripts understand: whether a space follows, and whether files of the caller's may be meant. */
const NO_SPACE = 2;
const NO_FILES = 4;

export const run: Handler<typeof root.commands.complete> = async ({ args }, { paths }) => {
  const { words } = args;
  const current = words.at(-1) ?? "";
  const { candidates, names, isPath } = complete(words.slice(0, -1), current);
  const found = names ? await namesOf(names, paths.socket) : [];
  const typed =
    current.startsWith("-") && current.includes("=") ? current.replace(/^[^=]*=/, "") : current;
  const fitting = [...candidates, ...found].filter(({ value }) => value.startsWith(typed));
  const lines = fitting.map(({ value, description }) => `${value}\t${safeLine(description)}`);
  const goesOn = fitting.length > 0 && fitting.every(({ value }) => /[:/]$/.test(value));
  lines.push(`:${(goesOn ? NO_SPACE : 0) + (isPath ? 0 : NO_FILES)}`);
  await writeOut(`${lines.join("\n")}\n`);
};
