/** Changes one value in a JSON file of the user's, which may have comments and trailing commas, and leaves the rest as it is. */
import { BangerError } from "#base/error.ts";

interface Member {
  key: string;
  /** Of the value. */
  start: number;
  end: number;
  node: Node;
}

interface Node {
  value: unknown;
  /** Of an object. */
  members?: Member[];
  /** Where the object opens: behind its brace. */
  inside?: number;
}

const DEPTH_MAX = 200;

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Node {
    const node = this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) throw this.#unexpected();
    return node;
  }

  #value(depth: number): Node {
    if (depth > DEPTH_MAX) throw this.#unexpected();
    this.#space();
    const next = this.#text[this.#at];
    if (next === "{") return this.#object(depth);
    if (next === "[") return { value: this.#array(depth) };
    if (next === '"') return { value: this.#string() };
    const word = this.#match(/true|false|null|-?\d[\d.eE+-]*/y);
    if (word === undefined) throw this.#unexpected();
    return { value: this.#json(word) };
  }

  #object(depth: number): Node {
    const inside = ++this.#at;
    const members: Member[] = [];
    while (!this.#ends("}")) {
      if (this.#text[this.#at] !== '"') throw this.#unexpected();
      const key = this.#string();
      this.#space();
      this.#take(":");
      this.#space();
      const start = this.#at;
      const node = this.#value(depth + 1);
      members.push({ key, start, end: this.#at, node });
      this.#separator("}");
    }
    const value = Object.fromEntries(members.map(({ key, node }) => [key, node.value]));
    return { value, members, inside };
  }

  #array(depth: number): unknown[] {
    this.#at++;
    const values: unknown[] = [];
    while (!this.#ends("]")) {
      values.push(this.#value(depth + 1).value);
      this.#separator("]");
    }
    return values;
  }

  #ends(bracket: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== bracket) return false;
    this.#at++;
    return true;
  }

  #separator(bracket: string): void {
    this.#space();
    if (this.#text[this.#at] !== bracket) this.#take(",");
  }

  #string(): string {
    const text = this.#match(/"(?:[^"\\\n]|\\.)*"/y);
    if (text === undefined) throw this.#unexpected();
    return String(this.#json(text));
  }

  #json(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      throw this.#unexpected();
    }
  }

  #take(mark: string): void {
    if (this.#text[this.#at] !== mark) throw this.#unexpected();
    this.#at++;
  }

  #space(): void {
    this.#match(/(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/|\uFEFF)*/y);
  }

  /** Takes what the sticky pattern matches here. */
  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [text] = pattern.exec(this.#text) ?? [];
    this.#at += text?.length ?? 0;
    return text;
  }

  #unexpected(): BangerError {
    const line = this.#text.slice(0, this.#at).split("\n").length;
    return new BangerError("invalid_argument", `invalid JSON in line ${line}`);
  }
}

export function parseJsonc(text: string): unknown {
  return new Parser(text).document().value;
}

/** `path` names objects, which are added where they are missing. */
export function setJsonc(text: string, path: readonly string[], value: unknown): string {
  if (text.trim() === "") return `${JSON.stringify(nested(path, value), null, 2)}\n`;
  const indent = /\n([ \t]+)"/.exec(text)?.[1] ?? "  ";
  let node = new Parser(text).document();
  for (const [depth, name] of path.entries()) {
    const { members, inside } = node;
    if (!members || inside === undefined) {
      const where = path.slice(0, depth).join(".");
      throw new BangerError("invalid_argument", `${where || "the file"} is not a JSON object`);
    }
    // Of several, the last one counts.
    const member = members.findLast(({ key }) => key === name);
    const rest = nested(path.slice(depth + 1), value);
    const pad = indent.repeat(depth + 1);
    const written = JSON.stringify(rest, null, indent).replaceAll("\n", `\n${pad}`);
    if (!member) {
      const comma = members.length > 0 ? "," : `\n${indent.repeat(depth)}`;
      const line = `\n${pad}${JSON.stringify(name)}: ${written}${comma}`;
      return text.slice(0, inside) + line + text.slice(inside);
    }
    if (depth === path.length - 1) {
      return text.slice(0, member.start) + written + text.slice(member.end);
    }
    node = member.node;
  }
  return text;
}

function nested(path: readonly string[], value: unknown): unknown {
  return path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
}
