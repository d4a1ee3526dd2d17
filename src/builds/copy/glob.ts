/**
 * Glob patterns as in Go: those of filepath.Match, and those of .dockerignore, where `**` matches any number of
 * directories. A pattern runs as an NFA, so the time is bounded by its length times the name's.
 */
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";

const PATTERN_MAX_CHARS = 4 * KiB;

/** Whether a path matches. */
export type Glob = (name: string) => boolean;

type Token =
  | { kind: "char"; char: string }
  /** `?`: one character within a component. */
  | { kind: "any" }
  | { kind: "class"; isNegated: boolean; ranges: readonly (readonly [string, string])[] }
  /** `*`: any number of characters within a component. */
  | { kind: "star" }
  /** `**` at the end: matches everything. */
  | { kind: "rest" }
  /** `**` before a component: matches nothing, or like "through". */
  | { kind: "optional" }
  /** Matches everything up to a "/". */
  | { kind: "through" };

/** Whether a source is a pattern. */
export function hasWildcard(path: string): boolean {
  return /[*?[]/.test(path.replace(/\\./gs, ""));
}

/** `*`, `?` and `[…]` within a component, as filepath.Match. `invalid_argument`. */
export function compileGlob(pattern: string): Glob {
  return compile(pattern, { crosses: false });
}

/** With `**` over any number of components, as in .dockerignore. `invalid_argument`. */
export function compileDeepGlob(pattern: string): Glob {
  return compile(pattern, { crosses: true });
}

/** Decodes a path of bytes to text. */
export function decodeName(name: string): string {
  return /[\x80-\xff]/.test(name) ? Buffer.from(name, "latin1").toString("utf8") : name;
}

function compile(pattern: string, options: { crosses: boolean }): Glob {
  if (pattern.length > PATTERN_MAX_CHARS) {
    throw new BangerError(
      "limit_exceeded",
      `pattern too long: more than ${PATTERN_MAX_CHARS} characters`,
    );
  }
  const tokens = tokensOf(pattern, options);
  const literal = (each: Token): string | undefined =>
    each.kind === "char" ? each.char : undefined;
  const plain = tokens.findIndex((token) => literal(token) === undefined);
  const start = tokens
    .slice(0, plain < 0 ? undefined : plain)
    .map(literal)
    .join("");
  if (plain < 0) return (name) => name === start;
  const last = tokens.findLastIndex((token) => literal(token) === undefined);
  const end = tokens
    .slice(last + 1)
    .map(literal)
    .join("");
  return (name) => name.startsWith(start) && name.endsWith(end) && matches(tokens, name);
}

function tokensOf(pattern: string, { crosses }: { crosses: boolean }): Token[] {
  const tokens: Token[] = [];
  const chars = [...pattern];
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at] as string;
    if (char === "*") {
      const isDouble = chars[at + 1] === "*";
      if (isDouble) at++;
      if (isDouble && crosses) {
        const isWhole = chars[at + 1] === "/";
        if (isWhole) at++;
        const left = chars.slice(at + 1).join("");
        // "**x" matches any path that ends with x; "**/x" matches whole components.
        const isOpen = tokens.length === 0 && !isWhole && !/[*?[\]\\]/.test(left);
        if (left === "" || isOpen) tokens.push({ kind: "rest" });
        else tokens.push({ kind: "optional" }, { kind: "through" });
      } else if (tokens.at(-1)?.kind !== "star") tokens.push({ kind: "star" });
    } else if (char === "?") tokens.push({ kind: "any" });
    else if (char === "[") {
      const { token, end } = classAt(chars, at + 1);
      tokens.push(token);
      at = end;
    } else if (char === "\\") {
      at++;
      if (at >= chars.length) throw badPattern(pattern);
      tokens.push({ kind: "char", char: chars[at] as string });
    } else tokens.push({ kind: "char", char });
  }
  return tokens;
}

/** Parses a character class from after its "[" to its "]" at `end`. */
function classAt(chars: readonly string[], start: number): { token: Token; end: number } {
  const isNegated = chars[start] === "^";
  const ranges: [string, string][] = [];
  let at = isNegated ? start + 1 : start;
  const bound = (): string => {
    if (chars[at] === "-" || chars[at] === "]") throw badPattern(chars.join(""));
    if (chars[at] === "\\") at++;
    const char = chars[at++];
    if (char === undefined) throw badPattern(chars.join(""));
    return char;
  };
  while (ranges.length === 0 || chars[at] !== "]") {
    const low = bound();
    let high = low;
    if (chars[at] === "-") {
      at++;
      high = bound();
    }
    ranges.push([low, high]);
  }
  return { token: { kind: "class", isNegated, ranges }, end: at };
}

function matches(tokens: readonly Token[], name: string): boolean {
  let states = new Set<number>();
  enter(tokens, states, 0);
  for (const char of name) {
    const next = new Set<number>();
    for (const state of states) step(tokens, next, { state, char });
    if (next.size === 0) return false;
    states = next;
  }
  return states.has(tokens.length);
}

/** Adds a state and its epsilon closure. */
function enter(tokens: readonly Token[], states: Set<number>, state: number): void {
  if (states.has(state)) return;
  states.add(state);
  const kind = tokens[state]?.kind;
  if (kind === "star" || kind === "rest" || kind === "optional") enter(tokens, states, state + 1);
  if (kind === "optional") enter(tokens, states, state + 2);
}

function step(
  tokens: readonly Token[],
  next: Set<number>,
  { state, char }: { state: number; char: string },
): void {
  const token = tokens[state];
  if (!token || token.kind === "optional") return;
  if (token.kind === "star") {
    if (char !== "/") enter(tokens, next, state);
  } else if (token.kind === "rest") enter(tokens, next, state);
  else if (token.kind === "through") {
    next.add(state);
    if (char === "/") enter(tokens, next, state + 1);
  } else if (isOf(token, char)) enter(tokens, next, state + 1);
}

function isOf(token: Token, char: string): boolean {
  if (token.kind === "char") return token.char === char;
  if (token.kind === "any") return char !== "/";
  if (token.kind !== "class") return false;
  return token.isNegated !== token.ranges.some(([low, high]) => low <= char && char <= high);
}

function badPattern(pattern: string): BangerError {
  return new BangerError("invalid_argument", `syntax error in pattern "${pattern}"`);
}
