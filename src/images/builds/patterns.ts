/** Patterns of names: those of COPY, as Go's filepath.Match, and those of .dockerignore. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";

const PATTERN_MAX_CHARS = 4 * KiB;
const PATTERNS_MAX = 10_000;

/** Whether a source of COPY names more than itself. */
export function hasWildcard(path: string): boolean {
  return /[*?[\\]/.test(path);
}

/** `*`, `?`, `[…]` within a component, `**` over any number of them. `invalid_argument`. */
export function globToRegExp(pattern: string): RegExp {
  if (pattern.length > PATTERN_MAX_CHARS) {
    throw new BangerError(
      "limit_exceeded",
      `A pattern is longer than ${PATTERN_MAX_CHARS} characters`,
    );
  }
  let text = "";
  for (let at = 0; at < pattern.length; ) {
    const char = pattern.charAt(at);
    if (pattern.startsWith("**", at)) {
      const isFolder = pattern.charAt(at + 2) === "/";
      text += isFolder ? "(?:[^]*/)?" : "[^]*";
      at += isFolder ? 3 : 2;
      continue;
    }
    if (char === "*") text += "[^/]*";
    else if (char === "?") text += "[^/]";
    else if (char === "[") {
      const end = pattern.indexOf("]", at + 2);
      if (end < 0) throw badPattern(pattern);
      const inside = pattern
        .slice(at + 1, end)
        .replace(/^[\^!]/, "")
        .replace(/[\\\]^[]/g, "\\$&");
      text += /^[\^!]/.test(pattern.slice(at + 1)) ? `(?!/)[^${inside}]` : `(?!/)[${inside}]`;
      at = end;
    } else if (char === "\\") {
      if (at + 1 >= pattern.length) throw badPattern(pattern);
      text += escaped(pattern.charAt(++at));
    } else text += escaped(char);
    at++;
  }
  try {
    return new RegExp(`^${text}$`);
  } catch {
    throw badPattern(pattern);
  }
}

export interface Ignore {
  /** `path` is relative to the context: "src/a.ts". */
  isIgnored(path: string): boolean;
  /** Whether something below an ignored folder may be wanted all the same. */
  hasExceptions: boolean;
}

/** The last pattern that matches a name, or a folder above it, decides. */
export function parseIgnore(text: string): Ignore {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const rules = lines.flatMap((line) => {
    const trimmed = line.trim();
    if (line.startsWith("#") || trimmed === "") return [];
    const isException = trimmed.startsWith("!");
    const pattern = posix
      .normalize((isException ? trimmed.slice(1) : trimmed).trim())
      .replace(/^\/+|\/+$/g, "");
    if (pattern === "" || pattern === ".") return [];
    return [{ isException, matches: globToRegExp(pattern) }];
  });
  if (rules.length > PATTERNS_MAX) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot read .dockerignore: over ${PATTERNS_MAX} patterns`,
    );
  }
  return {
    hasExceptions: rules.some(({ isException }) => isException),
    isIgnored(path) {
      const parts = path.split("/");
      const names = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
      let isIgnored = false;
      for (const { isException, matches } of rules) {
        if (isException === isIgnored && names.some((name) => matches.test(name))) {
          isIgnored = !isException;
        }
      }
      return isIgnored;
    },
  };
}

function escaped(char: string): string {
  return char.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

function badPattern(pattern: string): BangerError {
  return new BangerError("invalid_argument", `"${pattern}" is no pattern`);
}
