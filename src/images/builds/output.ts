/** The output of a command under way: its last line for the progress, its end for the error. */
import { KiB } from "#base/size.ts";

const KEPT_CHARS = 32 * KiB;
const LINES_MAX = 60;
const LINE_CHARS = 200;

export class OutputTail {
  readonly #decoder = new TextDecoder();
  #text = "";

  add(bytes: Uint8Array): void {
    this.#text = (this.#text + this.#decoder.decode(bytes, { stream: true })).slice(-KEPT_CHARS);
  }

  /** Without what would move the cursor. */
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
    return this.#text
      .split(/\n/)
      .map((line) => Bun.stripANSI(line.trimEnd().split("\r").at(-1) ?? ""))
      .map((line) => line.replace(/[^\P{Cc}\t]/gu, ""))
      .filter((line) => line.trim() !== "");
  }
}
