/** Words of a Dockerfile: quotes, escapes and variables, by the rules of Docker's builder. */
import { BangerError } from "#base/error.ts";

export type Lookup = (name: string) => string | undefined;

export interface WordOptions {
  lookup: Lookup;
  /** The escape character that the file has chosen. */
  escapeChar: string;
}

const EXPANDED_MAX_CHARS = 1 << 20;

/** One word without its quotes, variables replaced. `invalid_argument`. */
export function expandWord(word: string, options: WordOptions): string {
  let text = "";
  let quote = "";
  for (let at = 0; at < word.length; ) {
    const char = word.charAt(at);
    if (quote === "'" ? char === "'" : char === quote || (quote === "" && /["']/.test(char))) {
      quote = quote === "" ? char : "";
      at++;
    } else if (char === options.escapeChar && quote !== "'" && at + 1 < word.length) {
      const next = word.charAt(at + 1);
      const isKept = quote === '"' && !['"', "$", options.escapeChar].includes(next);
      text += isKept ? char + next : next;
      at += 2;
    } else if (char === "$" && quote !== "'") {
      const variable = readVariable(word, at, options);
      text += variable.value;
      at = variable.end;
    } else {
      text += char;
      at++;
    }
    if (text.length > EXPANDED_MAX_CHARS) {
      throw new BangerError("limit_exceeded", "A word is too long with its variables");
    }
  }
  if (quote !== "") throw new BangerError("invalid_argument", `The quote ${quote} has no end`);
  return text;
}

/** Words as they stand, split at spaces outside of quotes. */
export function splitWords(text: string, escapeChar: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  let isOpen = false;
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === escapeChar && quote !== "'" && at + 1 < text.length) {
      word += char + text.charAt(++at);
      isOpen = true;
    } else if (quote === "" && /\s/.test(char)) {
      if (isOpen) words.push(word);
      word = "";
      isOpen = false;
    } else {
      if (quote === "" && /["']/.test(char)) quote = char;
      else if (char === quote) quote = "";
      word += char;
      isOpen = true;
    }
  }
  if (isOpen) words.push(word);
  return words;
}

/** The variable at `word[at]`, which is "$"; a "$" that begins none stands for itself. */
function readVariable(word: string, at: number, options: WordOptions) {
  const plain = /^\$([A-Za-z_]\w*|\d)/.exec(word.slice(at, at + 256));
  if (plain?.[1]) return { value: options.lookup(plain[1]) ?? "", end: at + plain[0].length };
  if (word.charAt(at + 1) !== "{") return { value: "$", end: at + 1 };
  const end = closingBrace(word, at + 2, options.escapeChar);
  const inside = word.slice(at + 2, end);
  const [, name = "", rest = ""] = /^([A-Za-z_]\w*|\d+)?([\s\S]*)$/.exec(inside) ?? [];
  if (name === "") throw new BangerError("invalid_argument", `"\${${inside}}" names no variable`);
  return { value: substituted({ name, rest }, options), end: end + 1 };
}

function substituted({ name, rest }: { name: string; rest: string }, options: WordOptions): string {
  const value = options.lookup(name);
  if (rest === "") return value ?? "";
  const [, colon = "", operator = "", text = ""] = /^(:?)([-+?])([\s\S]*)$/.exec(rest) ?? [];
  const isSet = value !== undefined && (colon === "" || value !== "");
  if (operator === "-") return isSet ? value : expandWord(text, options);
  if (operator === "+") return isSet ? expandWord(text, options) : "";
  if (operator === "?" && isSet) return value;
  if (operator === "?") {
    throw new BangerError(
      "invalid_argument",
      `${name}: ${expandWord(text, options) || "is not set"}`,
    );
  }
  throw new BangerError("unsupported", `"\${${name}${rest}}" is a substitution that is not known`);
}

function closingBrace(word: string, start: number, escapeChar: string): number {
  for (let at = start, depth = 1; at < word.length; at++) {
    const char = word.charAt(at);
    if (char === escapeChar) at++;
    else if (char === "{") depth++;
    else if (char === "}" && --depth === 0) return at;
  }
  throw new BangerError("invalid_argument", `"\${" has no end`);
}
