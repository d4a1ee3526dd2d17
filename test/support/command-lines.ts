/** Extracts banger command lines from text (docs, help, hints) and splits them as a shell would. */
import { BangerError } from "#base/error.ts";
import { parseCommand } from "#cli/parse.ts";

/** Stands where a text of ours puts in a value. */
export const VALUE = "VALUE";

/**
 * The commands of a line of a shell: what is between pipes, separators and redirections, as words without quotes.
 * What $( ) and <( ) hold comes as commands of its own. An ellipsis is left out.
 */
export function shellCommands(line: string): string[][] {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | undefined;
  let skipsNext = false;
  const endWord = (): void => {
    if (word !== undefined && !skipsNext && !/^(…|\.\.\.)$/.test(word)) words.push(word);
    if (word !== undefined) skipsNext = false;
    word = undefined;
  };
  const endCommand = (): void => {
    endWord();
    if (words.length > 0) commands.push(words);
    words = [];
  };
  for (let at = 0; at < line.length; at++) {
    const char = line[at] ?? "";
    const quote = char === "'" || char === '"' ? char : undefined;
    if (quote) {
      const end = line.indexOf(quote, at + 1);
      word = (word ?? "") + line.slice(at + 1, end < 0 ? undefined : end);
      at = end < 0 ? line.length : end;
    } else if (/[$<]/.test(char) && line[at + 1] === "(") {
      const end = line.indexOf(")", at);
      commands.push(...shellCommands(line.slice(at + 2, end)));
      word = (word ?? "") + VALUE;
      at = end < 0 ? line.length : end;
    } else if (char === "\\") word = (word ?? "") + (line[++at] ?? "");
    else if (/\s/.test(char)) endWord();
    else if (char === "#" && word === undefined) break;
    else if (/[|;&]/.test(char)) endCommand();
    else if (/[<>]/.test(char)) {
      if (/^\d$/.test(word ?? "")) word = undefined;
      endWord();
      while (/[<>&]/.test(line[at + 1] ?? "")) at++;
      skipsNext = true;
    } else word = (word ?? "") + char;
  }
  endCommand();
  return commands;
}

/** The words behind "banger" of those commands that are banger's, also behind sudo and variables. */
export function bangerCommands(line: string): string[][] {
  return shellCommands(line).flatMap((words) => {
    let at = 0;
    while (/^[A-Z_]+=/.test(words[at] ?? "") || /^(sudo|exec|time|watch)$/.test(words[at] ?? ""))
      at++;
    return words[at] === "banger" ? [words.slice(at + 1)] : [];
  });
}

/** What the command line's own parser says against the words; undefined when it takes them. */
export function mistakeIn(words: readonly string[]): string | undefined {
  // What the value would be is not known: it may be a command or the name of a flag.
  if (words.some((word, at) => word.includes(VALUE) && (at < 2 || word.startsWith("-")))) {
    return undefined;
  }
  try {
    parseCommand(words);
    return undefined;
  } catch (error) {
    return error instanceof BangerError ? error.message : String(error);
  }
}
