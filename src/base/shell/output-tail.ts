/** The output of a running command: its last line for progress, its tail for errors. */
import { KiB } from "#base/size.ts";

const KEPT_CHARS = 32 * KiB;
const LINES_MAX = 60;
const LINE_CHARS = 200;

export class OutputTail {
  readonly #decoder = new TextDecoder();
  #text = "";
  /** The incomplete last line. */
  #open = "";

  /** Returns the completed lines. */
  add(bytes: Uint8Array): string[] {
    const text = this.#decoder.decode(bytes, { stream: true });
    this.#text = (this.#text + text).slice(-KEPT_CHARS);
    this.#open = (this.#open + text).slice(-KEPT_CHARS);
    const end = this.#open.lastIndexOf("\n") + 1;
    const whole = linesOf(this.#open.slice(0, end));
    this.#open = this.#open.slice(end);
    return whole.map((line) => line.slice(0, LINE_CHARS));
  }

  lastLine(): string {
    return this.#lines().at(-1)?.slice(0, LINE_CHARS) ?? "";
  }

  /** The last lines, each indented. */
  end(): string {
    return this.#lines()
      .slice(-LINES_MAX)
      .map((line) => `  ${line}`)
      .join("\n");
  }

  #lines(): string[] {
    return linesOf(this.#text);
  }
}

/** Without empty lines and control sequences. */
function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => Bun.stripANSI(line.trimEnd().split("\r").at(-1) ?? ""))
    .map((line) => line.replace(/[^\P{Cc}\t]/gu, ""))
    .filter((line) => line.trim() !== "");
}
