/** Parses `WWW-Authenticate` (RFC 9110, section 11.6.1): a comma-separated list of schemes with parameters. */

const MAX_HEADER_CHARS = 16 * 1024;

export interface Challenge {
  /** In lower case: "bearer", "basic". */
  scheme: string;
  /** Names in lower case. */
  params: Map<string, string>;
}

const tokenPattern = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const token68Pattern = /[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))/y;
const quotedPattern = /"((?:[^"\\]|\\.)*)"/sy;

/** Never throws: the list ends at the first malformed part. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, MAX_HEADER_CHARS);
  const challenges: Challenge[] = [];
  let at = 0;
  function take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) return undefined;
    at = pattern.lastIndex;
    return match;
  }
  while (at < text.length) {
    take(/[\s,]+/y);
    const word = take(tokenPattern)?.[0];
    if (word === undefined) break;
    const current = challenges.at(-1);
    if (current && take(/\s*=\s*/y)) {
      const quoted = take(quotedPattern);
      const value = quoted ? (quoted[1] ?? "").replace(/\\(.)/gs, "$1") : take(/[^\s,"]+/y)?.[0];
      if (value === undefined) break;
      current.params.set(word.toLowerCase(), value);
      continue;
    }
    challenges.push({ scheme: word.toLowerCase(), params: new Map() });
    if (!take(/\s+/y)) continue;
    // "Negotiate TOKEN68": skips the token, which must not be parsed as a scheme.
    if (!isParam(text, at)) take(token68Pattern);
  }
  return challenges;
}

function isParam(text: string, at: number): boolean {
  const pattern = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+\s*=\s*[^=\s,]/y;
  pattern.lastIndex = at;
  return pattern.test(text);
}
