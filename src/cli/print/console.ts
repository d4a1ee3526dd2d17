/**
 * Filters a machine's console for a terminal: of all escape sequences only colours pass, since the guest is
 * untrusted.
 */
import { terminalText } from "#base/printable.ts";

/** An escape sequence that has not ended by then is none. */
const SEQUENCE_MAX_LENGTH = 256;

// An escape sequence that is still open at the end of a chunk.
const OPEN_SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences that are looked for
  /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*(?:\x1b)?)?$/;
export interface ConsoleFilter {
  push(chunk: string): string;
  /** What was held back, to see whether it is a sequence. */
  end(): string;
}

export function makeConsoleFilter({ color }: { color: boolean }): ConsoleFilter {
  let held = "";
  // Its lines end in "\r\n", and what else returns draws over what was there.
  const clean = (text: string): string => terminalText(text, { color }).replaceAll("\r", "");
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
