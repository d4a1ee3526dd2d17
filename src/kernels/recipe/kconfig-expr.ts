/**
 * Evaluates Kconfig expressions: names, `!`, `&&`, `||`, comparisons, parentheses. Grammar:
 * Documentation/kbuild/kconfig-language.rst of the kernel. A module counts as on.
 */

/** Value of an option in `.config`; undefined if not set. */
export type LookUp = (option: string) => string | undefined;

const MAX_DEPTH = 50;

/** Whether the condition is true. Unknown values, such as `$(cc-option,…)`, count as true. */
export function isTrue(condition: string, lookUp: LookUp): boolean {
  return new Evaluation(tokensOf(condition), lookUp).whole();
}

/** Splits at `&&`: "A && (B || C)" is "A" and "B || C". */
export function conjuncts(condition: string): string[] {
  const parts: string[][] = [[]];
  let depth = 0;
  for (const token of tokensOf(condition)) {
    if (token === "(") depth++;
    if (token === ")") depth--;
    if (depth === 0 && token === "&&") parts.push([]);
    else if (depth === 0 && token === "||") return [condition.trim()];
    else parts.at(-1)?.push(token);
  }
  return parts.flatMap((tokens) => {
    if (tokens.length === 0) return [];
    if (!isOneGroup(tokens)) return [tokens.join(" ")];
    return conjuncts(tokens.slice(1, -1).join(" "));
  });
}

function isOneGroup(tokens: readonly string[]): boolean {
  if (tokens[0] !== "(" || tokens.at(-1) !== ")") return false;
  let depth = 0;
  return tokens.every((token, index) => {
    if (token === "(") depth++;
    if (token === ")") depth--;
    return depth > 0 || index === tokens.length - 1;
  });
}

function tokensOf(text: string): string[] {
  return text.match(/\$\([^)]*\)|"[^"]*"|'[^']*'|&&|\|\||!=|<=|>=|[()=<>!]|[\w.-]+/g) ?? [];
}

class Evaluation {
  readonly #tokens: readonly string[];
  readonly #lookUp: LookUp;
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly string[], lookUp: LookUp) {
    this.#tokens = tokens;
    this.#lookUp = lookUp;
  }

  whole(): boolean {
    const result = this.#any();
    return this.#at < this.#tokens.length || result;
  }

  #any(): boolean {
    let result = this.#all();
    while (this.#take("||")) {
      const right = this.#all();
      result ||= right;
    }
    return result;
  }

  #all(): boolean {
    let result = this.#one();
    while (this.#take("&&")) {
      const right = this.#one();
      result &&= right;
    }
    return result;
  }

  #one(): boolean {
    if (++this.#depth > MAX_DEPTH) return true;
    try {
      if (this.#take("!")) return !this.#one();
      if (this.#take("(")) {
        const result = this.#any();
        this.#take(")");
        return result;
      }
      return this.#comparison();
    } finally {
      this.#depth--;
    }
  }

  #comparison(): boolean {
    const left = this.#next();
    const operator = ["=", "!=", "<", ">", "<=", ">="].find((each) => this.#take(each));
    if (operator === undefined) {
      return left.startsWith("$") || ["y", "m"].includes(this.#value(left));
    }
    const right = this.#next();
    if (left.startsWith("$") || right.startsWith("$")) return true;
    return compare(this.#value(left), operator, this.#value(right));
  }

  #value(token: string): string {
    if (/^["']/.test(token)) return token.slice(1, -1);
    if (["y", "m", "n"].includes(token) || /^\d/.test(token)) return token;
    return this.#lookUp(token)?.replaceAll('"', "") ?? "n";
  }

  #next(): string {
    return this.#tokens[this.#at++] ?? "y";
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at++;
    return true;
  }
}

function compare(left: string, operator: string, right: string): boolean {
  if (operator === "=") return left === right;
  if (operator === "!=") return left !== right;
  const [a, b] = [Number(left), Number(right)];
  if (operator === "<") return a < b;
  if (operator === ">") return a > b;
  return operator === "<=" ? a <= b : a >= b;
}
