/**
 * A machine's console as text for a terminal: of all escape sequences only colours are let
 * through, since the guest that printed them is not trusted.
 */

/** An escape sequence that has not ended by then is none. */
const SEQUENCE_MAX_LENGTH = 256;

// An escape sequence that is still open at the end of a chunk.
const OPEN_SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences that are looked for
  /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*(?:\x1b)?)?$/;
const SEQUENCES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences that are looked for
  /\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g;
const COLOR =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences that are looked for
  /^\x1b\[[0-9;:]*m$/;
// An escape character that began no colour.
const STRAY_ESCAPE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences that are looked for
  /\x1b(?!\[[0-9;:]*m)/g;
const CONTROLS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  /[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

export interface ConsoleFilter {
  push(chunk: string): string;
  /** What was held back, to see whether it is a sequence. */
  end(): string;
}

export function makeConsoleFilter({ color }: { color: boolean }): ConsoleFilter {
  let held = "";
  const clean = (text: string): string =>
    text
      .replace(SEQUENCES, (sequence) => (color && COLOR.test(sequence) ? sequence : ""))
      .replace(CONTROLS, "")
      .replace(STRAY_ESCAPE, "");
  return {
    push(chunk) {
      const text = held + chunk;
      const open = OPEN_SEQUENCE.exec(text);
      held = open && open[0].length <= SEQUENCE_MAX_LENGTH ? open[0] : "";
      return clean(held ? text.slice(0, -held.length) : text);
    },
    end() {
      const rest = held;
      held = "";
      return clean(rest);
    },
  };
}
