/** Pattern lists: .dockerignore, and --exclude of COPY. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { compileDeepGlob, decodeName, type Glob, hasWildcard } from "./glob.ts";

const PATTERNS_MAX = 10_000;

interface Rule {
  isException: boolean;
  matches: Glob;
  /** The literal components before the first wildcard, each followed by "/". */
  prefix: string;
  isWild: boolean;
}

interface Match {
  path: string;
  /** For each rule, whether it matches the path or a parent directory. */
  rules: Uint8Array;
  isMatch: boolean;
}

/** The last pattern that matches a path or a parent directory decides. Paths are bytes in strings. */
export class PatternList {
  readonly #rules: readonly Rule[];
  readonly hasExceptions: boolean;
  /** Cached matches of the parent directories of the last path. */
  readonly #trail: Match[] = [];

  /** A leading "!" makes an exception. `invalid_argument` for an invalid pattern. */
  constructor(patterns: readonly string[]) {
    if (patterns.length > PATTERNS_MAX) {
      throw new BangerError("limit_exceeded", `too many patterns: more than ${PATTERNS_MAX}`);
    }
    this.#rules = patterns.flatMap(ruleOf);
    this.hasExceptions = this.#rules.some(({ isException }) => isException);
  }

  matches(path: string): boolean {
    if (this.#rules.length === 0) return false;
    return this.#match(path).isMatch;
  }

  /** Whether a pattern, or with `exceptions` an exception, may match below the directory `path`. */
  mayMatchBelow(path: string, options: { exceptions: boolean }): boolean {
    const folder = path === "" ? "" : `${decodeName(path)}/`;
    return this.#rules.some(({ isException, prefix, isWild }) => {
      if (isException !== options.exceptions) return false;
      return prefix.startsWith(folder) || (isWild && folder.startsWith(prefix));
    });
  }

  #match(path: string): Match {
    const slash = path.lastIndexOf("/");
    const parent = slash < 0 ? undefined : this.#folder(path.slice(0, slash));
    const name = decodeName(path);
    const rules = new Uint8Array(this.#rules.length);
    let isMatch = false;
    for (const [index, rule] of this.#rules.entries()) {
      let isOf = parent?.rules[index] === 1;
      if (!isOf) {
        if (rule.isException !== isMatch) continue;
        isOf = rule.matches(name);
      }
      if (!isOf) continue;
      rules[index] = 1;
      isMatch = !rule.isException;
    }
    return { path, rules, isMatch };
  }

  #folder(path: string): Match {
    for (let last = this.#trail.at(-1); last; last = this.#trail.at(-1)) {
      if (last.path === path) return last;
      if (path.startsWith(`${last.path}/`)) break;
      this.#trail.pop();
    }
    const match = this.#match(path);
    this.#trail.push(match);
    return match;
  }
}

/** Parses a .dockerignore. `invalid_argument` with the line. */
export function parseIgnore(text: string): PatternList {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const patterns = lines.flatMap((line, index) => {
    const trimmed = line.trim();
    if (line.startsWith("#") || trimmed === "") return [];
    try {
      ruleOf(trimmed);
    } catch (error) {
      if (!(error instanceof BangerError)) throw error;
      const message = `Cannot read line ${index + 1} of .dockerignore: ${error.message}`;
      throw new BangerError(error.code, message);
    }
    return [trimmed];
  });
  return new PatternList(patterns);
}

function ruleOf(pattern: string): Rule[] {
  const trimmed = pattern.trim();
  if (trimmed === "") return [];
  const isException = trimmed.startsWith("!");
  const own = (isException ? trimmed.slice(1) : trimmed).trim();
  if (own === "") throw new BangerError("invalid_argument", `"!" without a pattern`);
  const clean = posix.normalize(own).replace(/^\/+|\/+$/g, "");
  if (clean === "" || clean === ".") return [];
  const parts = clean.split("/");
  const wild = parts.findIndex((part) => hasWildcard(part) || part.includes("\\"));
  const fixed = wild < 0 ? parts : parts.slice(0, wild);
  return [
    {
      isException,
      matches: compileDeepGlob(clean),
      prefix: fixed.map((part) => `${part}/`).join(""),
      isWild: wild >= 0,
    },
  ];
}
