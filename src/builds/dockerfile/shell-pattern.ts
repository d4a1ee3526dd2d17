/** Patterns of `${NAME#…}`, `${NAME%…}` and `${NAME/…/…}`: "*", "?" and literals, matched in bounded time. */
import { BangerError } from "#base/error.ts";

/** Limit of steps per substitution. */
const WORK_MAX = 5_000_000;

type Token = { kind: "star" } | { kind: "any" } | { kind: "char"; char: string };

/** Removes the match of a pattern at one end of the value. */
export function trimPattern(
  value: string,
  options: { pattern: string; isLongest: boolean; end: "start" | "end" },
): string {
  const chars = Array.from(value);
  const tokens = tokensOf(options.pattern);
  const { isLongest } = options;
  if (options.end === "start") {
    const length = new Matcher(tokens, chars).at(0, isLongest);
    return length === undefined ? value : chars.slice(length).join("");
  }
  const length = new Matcher(tokens.reverse(), chars.toReversed()).at(0, isLongest);
  return length === undefined ? value : chars.slice(0, chars.length - length).join("");
}

/** Replaces the first match, or all. */
export function replacePattern(
  value: string,
  options: { pattern: string; replacement: string; isAll: boolean },
): string {
  const chars = Array.from(value);
  const matcher = new Matcher(tokensOf(options.pattern), chars);
  let text = "";
  let lastEnd = -1;
  for (let at = 0; at <= chars.length; ) {
    const length = matcher.at(at, true);
    // An empty match right after another match does not count.
    if (length !== undefined && (length > 0 || at !== lastEnd)) {
      text += options.replacement;
      at += length;
      lastEnd = at;
      if (!options.isAll) return text + chars.slice(at).join("");
      if (length > 0) continue;
    }
    text += chars[at] ?? "";
    at++;
  }
  return text;
}

function tokensOf(pattern: string): Token[] {
  const chars = Array.from(pattern);
  const tokens: Token[] = [];
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at] ?? "";
    if (char === "*") tokens.push({ kind: "star" });
    else if (char === "?") tokens.push({ kind: "any" });
    else if (char !== "\\") tokens.push({ kind: "char", char });
    else {
      const next = chars[++at] ?? "";
      if (!["*", "?", "\\", "}", "/"].includes(next)) {
        throw new BangerError("invalid_argument", `invalid escape "\\${next}" in "${pattern}"`);
      }
      tokens.push({ kind: "char", char: next });
    }
  }
  return tokens;
}

class Matcher {
  readonly #tokens: readonly Token[];
  readonly #chars: readonly string[];
  #work = 0;

  constructor(tokens: readonly Token[], chars: readonly string[]) {
    this.#tokens = tokens;
    this.#chars = chars;
  }

  /** The length of the match at `start`. */
  at(start: number, isLongest: boolean): number | undefined {
    let found: number | undefined;
    let states = this.#reached([0]);
    for (let at = start; states.length > 0; at++) {
      if (states.at(-1) === this.#tokens.length) {
        found = at - start;
        if (!isLongest) return found;
      }
      const char = this.#chars[at];
      if (char === undefined) break;
      states = this.#reached(states.flatMap((state) => this.#step(state, char)));
    }
    return found;
  }

  /** Adds states in order, each once, with their epsilon closure. */
  #reached(states: readonly number[]): number[] {
    const reached: number[] = [];
    for (const first of states) {
      for (let state = first; (reached.at(-1) ?? -1) < state; state++) {
        reached.push(state);
        if (this.#tokens[state]?.kind !== "star") break;
      }
    }
    this.#work += reached.length + 1;
    if (this.#work <= WORK_MAX) return reached;
    throw new BangerError("limit_exceeded", "substitution pattern is too complex");
  }

  #step(state: number, char: string): number[] {
    const token = this.#tokens[state];
    if (token?.kind === "char") return token.char === char ? [state + 1] : [];
    if (token === undefined || char === "\n") return [];
    return [token.kind === "star" ? state : state + 1];
  }
}
