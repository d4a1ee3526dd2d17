/** Output of any length, cut to what a model can read. */
import { BangerError } from "#base/error.ts";

/** Keeps the beginning and the end of a stream. */
export class Excerpt {
  readonly #half: number;
  readonly #head: Uint8Array[] = [];
  #headLength = 0;
  #tail: Uint8Array[] = [];
  #tailLength = 0;
  #total = 0;

  constructor(max_bytes: number) {
    this.#half = Math.ceil(max_bytes / 2);
  }

  readonly take = (bytes: Uint8Array): void => {
    this.#total += bytes.length;
    const room = this.#half - this.#headLength;
    if (room > 0) {
      const part = bytes.slice(0, room);
      this.#head.push(part);
      this.#headLength += part.length;
    }
    const rest = bytes.subarray(Math.max(0, room));
    if (rest.length === 0) return;
    this.#tail.push(rest.slice(-this.#half));
    this.#tailLength += Math.min(rest.length, this.#half);
    this.#shrink();
  };

  get total_bytes(): number {
    return this.#total;
  }

  get omitted_bytes(): number {
    return this.#total - this.#headLength - this.#tailBytes().length;
  }

  text(): string {
    const head = Buffer.concat(this.#head);
    const tail = this.#tailBytes();
    const left = this.omitted_bytes;
    if (left === 0) return Buffer.concat([head, tail]).toString("utf8");
    return `${head.toString("utf8")}\n[… ${left} bytes left out …]\n${tail.toString("utf8")}`;
  }

  #tailBytes(): Buffer {
    return Buffer.concat(this.#tail).subarray(-this.#half);
  }

  #shrink(): void {
    for (;;) {
      const first = this.#tail[0];
      if (!first || this.#tailLength - first.length < this.#half) return;
      this.#tail.shift();
      this.#tailLength -= first.length;
    }
  }
}

/** Undefined for bytes that are no text. `isCut`: more follows, so that the last character may lack its end. */
export function textOf(bytes: Uint8Array, { isCut }: { isCut: boolean }): string | undefined {
  if (bytes.includes(0)) return undefined;
  for (let cut = 0; cut < (isCut ? 4 : 1) && cut <= bytes.length; cut++) {
    try {
      const part = bytes.subarray(0, bytes.length - cut);
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(part);
    } catch {
      // A byte less may be whole.
    }
  }
  return undefined;
}

/** The bytes of what a client sends. */
export function bytesOf(content: string, encoding: "utf8" | "base64"): Uint8Array {
  if (encoding === "utf8") return new TextEncoder().encode(content);
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(content)) {
    throw new BangerError("invalid_argument", "invalid base64 in content");
  }
  return Buffer.from(content, "base64");
}

/** The first of them, and how many there are more. */
export function firstOf<T>(all: readonly T[], max: number): { first: T[]; omitted: number } {
  return { first: all.slice(0, max), omitted: Math.max(0, all.length - max) };
}
