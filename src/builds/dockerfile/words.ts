/**
 * Splits and expands words of a Dockerfile: quotes, escapes and variables, by the rules of BuildKit's lexer
 * (docs.docker.com/reference/dockerfile/#environment-replacement).
 */
import { BangerError } from "#base/error.ts";
import { replacePattern, trimPattern } from "./shell-pattern.ts";

export type Lookup = (name: string) => string | undefined;

export interface WordOptions {
  lookup: Lookup;
  /** The file's escape character. */
  escapeChar: string;
  /** What to leave unexpanded: variables without a value, or quotes and escapes as well. */
  keeps?: "unset" | "all";
  /** Quotes are ordinary characters, as in a here-document. */
  ignoresQuotes?: boolean;
}

const EXPANDED_MAX_CHARS = 1 << 20;
/** Of `${A:-${B:-…}}`. */
const DEPTH_MAX = 100;
const LETTER = /^[\p{L}\p{Nd}_]$/u;
const DIGIT = /^\p{Nd}$/u;
/** Special shell parameters, which are always unset. */
const SPECIAL = /^[@*#?\-$!]$/;

/** Expands one word and removes its quotes. `invalid_argument`. */
export function expandWord(word: string, options: WordOptions): string {
  return new Lexer(word, options).whole().text;
}

/** Splits text into words after expansion: an unquoted value may become several words. */
export function expandWords(text: string, options: WordOptions): string[] {
  return new Lexer(text, options).whole().words;
}

/** Splits at unquoted spaces, without expansion. */
export function splitWords(text: string, escapeChar: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  let isOpen = false;
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === escapeChar && quote !== "'") {
      if (at + 1 < text.length) word += char + text.charAt(++at);
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

/** Splits at white space only, as COPY, FROM and VOLUME do. */
export function plainWords(text: string): string[] {
  return text.split(/[\t\v\f\r ]+/).filter((word) => word !== "");
}

interface Expanded {
  text: string;
  words: string[];
}

/** Collects the expanded text and its words. */
class Collector {
  text = "";
  readonly words: string[] = [];
  #word = "";

  /** `splits`: white space ends a word. */
  add(text: string, splits: boolean): void {
    this.text += text;
    if (this.text.length > EXPANDED_MAX_CHARS) {
      throw new BangerError("limit_exceeded", "word too long after variable expansion");
    }
    if (!splits) {
      this.#word += text;
      return;
    }
    for (const char of text) {
      if (/\s/.test(char)) this.#end();
      else this.#word += char;
    }
  }

  expanded(): Expanded {
    this.#end();
    return { text: this.text, words: this.words };
  }

  #end(): void {
    if (this.#word !== "") this.words.push(this.#word);
    this.#word = "";
  }
}

class Lexer {
  readonly #chars: readonly string[];
  readonly #options: WordOptions;
  #at = 0;
  #depth = 0;

  constructor(text: string, options: WordOptions) {
    this.#chars = Array.from(text);
    this.#options = options;
  }

  whole(): Expanded {
    return this.#until(undefined, this.#keepsAll);
  }

  /** Expands up to `stop`, which is consumed, or to the end of the text. */
  #until(stop: string | undefined, keepsEscapes: boolean): Expanded {
    const { escapeChar, ignoresQuotes = false } = this.#options;
    const result = new Collector();
    for (let char = this.#peek(); char !== undefined; char = this.#peek()) {
      if (char === stop) {
        this.#at++;
        return result.expanded();
      }
      if (char === "$") result.add(this.#dollar(keepsEscapes), true);
      else if (char === "<") result.add(this.#heredocMark(), false);
      else if (char === "'" && !ignoresQuotes) result.add(this.#singleQuoted(), false);
      else if (char === '"' && !ignoresQuotes) result.add(this.#doubleQuoted(keepsEscapes), false);
      else if (char === escapeChar) {
        this.#at++;
        // A trailing escape character is dropped.
        const next = this.#next() ?? "";
        result.add(keepsEscapes ? char + next : next, false);
      } else {
        this.#at++;
        result.add(char, true);
      }
    }
    if (stop === undefined) return result.expanded();
    throw new BangerError("invalid_argument", `unterminated "\${": missing "${stop}"`);
  }

  #singleQuoted(): string {
    const end = this.#chars.indexOf("'", this.#at + 1);
    if (end < 0) throw openQuote("'");
    const text = this.#chars.slice(this.#at + 1, end).join("");
    this.#at = end + 1;
    return this.#keepsAll ? `'${text}'` : text;
  }

  #doubleQuoted(keepsEscapes: boolean): string {
    const { escapeChar } = this.#options;
    const mark = this.#keepsAll ? '"' : "";
    this.#at++;
    let text = mark;
    for (let char = this.#peek(); char !== undefined; char = this.#peek()) {
      if (char === "$") {
        text += this.#dollar(keepsEscapes);
        continue;
      }
      this.#at++;
      if (char === '"') return text + mark;
      const next = this.#peek();
      if (char !== escapeChar || next === undefined) text += char === escapeChar ? "" : char;
      else if (next === '"' || next === "$" || next === escapeChar) {
        this.#at++;
        text += keepsEscapes ? char + next : next;
      } else text += char;
    }
    throw openQuote('"');
  }

  /** "<<", white space and the delimiter form one word. */
  #heredocMark(): string {
    this.#at++;
    if (this.#peek() !== "<") return "<";
    this.#at++;
    let text = "<<";
    for (let char = this.#peek(); char && /[\t\r ]/.test(char); char = this.#peek()) {
      this.#at++;
      text += char;
    }
    return text;
  }

  /** Expands a variable; any other "$" is literal. */
  #dollar(keepsEscapes: boolean): string {
    this.#at++;
    if (this.#peek() === "{") {
      this.#at++;
      if (++this.#depth > DEPTH_MAX) {
        throw new BangerError("limit_exceeded", "substitutions are nested too deeply");
      }
      const value = this.#braced(keepsEscapes);
      this.#depth--;
      return value;
    }
    const name = this.#name();
    if (name === "") return "$";
    const value = this.#options.lookup(name);
    return value ?? (this.#keepsUnset ? `$${name}` : "");
  }

  #braced(keepsEscapes: boolean): string {
    const first = this.#peek();
    if (first === undefined) throw new BangerError("invalid_argument", `unterminated "\${"`);
    if ("{}:".includes(first)) {
      throw new BangerError("invalid_argument", `invalid variable name in "\${${first}"`);
    }
    const name = this.#name();
    const value = this.#options.lookup(name);
    const operator = this.#next() ?? "";
    if (operator === "}") return value ?? (this.#keepsUnset ? `\${${name}}` : "");
    if (operator === "/") return this.#replaced(name, value);
    const colon = operator === ":" ? ":" : "";
    const kind = colon ? (this.#next() ?? "") : operator;
    const known = colon ? "-+?" : "-+?#%";
    if (kind === "" || !known.includes(kind)) {
      throw new BangerError(
        "invalid_argument",
        `unsupported substitution "\${${name}${colon}${kind}"`,
      );
    }
    const word = this.#until("}", "#%".includes(kind) || keepsEscapes).text;
    if (this.#keepsUnset && value === undefined) return `\${${name}${colon}${kind}${word}}`;
    return substituted({ name, value, word, isSet: isSet(value, colon) }, kind);
  }

  #replaced(name: string, value: string | undefined): string {
    const isAll = this.#peek() === "/";
    if (isAll) this.#at++;
    const pattern = this.#until("/", true).text;
    const replacement = this.#until("}", true).text;
    if (this.#keepsUnset && value === undefined) return `\${${name}/${pattern}/${replacement}}`;
    return replacePattern(value ?? "", { pattern, replacement, isAll });
  }

  get #keepsAll(): boolean {
    return this.#options.keeps === "all";
  }

  get #keepsUnset(): boolean {
    return this.#options.keeps !== undefined;
  }

  #name(): string {
    const first = this.#peek() ?? "";
    if (SPECIAL.test(first)) {
      this.#at++;
      return first;
    }
    const kind = DIGIT.test(first) ? DIGIT : LETTER;
    let name = "";
    for (let char = this.#peek(); char && kind.test(char); char = this.#peek()) {
      this.#at++;
      name += char;
    }
    return name;
  }

  #peek(): string | undefined {
    return this.#chars[this.#at];
  }

  #next(): string | undefined {
    return this.#chars[this.#at++];
  }
}

function isSet(value: string | undefined, colon: string): boolean {
  return value !== undefined && (colon === "" || value !== "");
}

function substituted(
  variable: { name: string; value: string | undefined; word: string; isSet: boolean },
  kind: string,
): string {
  const { name, value = "", word } = variable;
  if (kind === "-") return variable.isSet ? value : word;
  if (kind === "+") return variable.isSet ? word : "";
  if (kind === "#" || kind === "%") {
    const isLongest = word.startsWith(kind);
    const pattern = isLongest ? word.slice(1) : word;
    return trimPattern(value, { pattern, isLongest, end: kind === "#" ? "start" : "end" });
  }
  if (variable.isSet) return value;
  const problem = variable.value === undefined ? "is not set" : "is empty";
  throw new BangerError("invalid_argument", `${name}: ${word || problem}`);
}

function openQuote(quote: string): BangerError {
  return new BangerError("invalid_argument", `unterminated quote ${quote}`);
}
