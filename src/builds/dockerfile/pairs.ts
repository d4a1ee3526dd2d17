/** Parses NAME=VALUE of ENV, LABEL and ARG. */
import { BangerError } from "#base/error.ts";
import { splitWords } from "./words.ts";

const PAIRS_MAX = 10_000;

/** "a=b c='d e'", and the legacy "name value"; unexpanded. `invalid_argument`. */
export function pairsOf(rest: string, escapeChar: string): [string, string][] {
  const words = splitWords(rest, escapeChar);
  if (words.length > PAIRS_MAX) {
    throw new BangerError("limit_exceeded", `too many arguments: more than ${PAIRS_MAX}`);
  }
  if (words[0] !== undefined && !words[0].includes("=")) {
    const [, name = "", text] = /^(\S+)[\t\v\f\r ]+([\s\S]*)$/.exec(rest) ?? [];
    if (text !== undefined) return [[name, text]];
    throw new BangerError("invalid_argument", `missing value for "${words[0]}"`);
  }
  return words.map((word) => {
    const pair = pairOf(word);
    if (pair[0] !== "" && word.includes("=")) return pair;
    throw new BangerError("invalid_argument", `"${word}" is not NAME=VALUE`);
  });
}

/** Splits at the first "="; the default value is empty. */
export function pairOf(line: string): [string, string] {
  const at = line.indexOf("=");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
}
