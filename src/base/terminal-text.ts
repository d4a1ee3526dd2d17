/** Text for a terminal: of all control sequences only colours are let through, whoever wrote the text. */

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
// C0 but tab, newline and the return before one, C1, and the marks that reorder text.
const CONTROLS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  /[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|\r(?!\n)/g;

export function terminalText(text: string, { color = true }: { color?: boolean } = {}): string {
  return text
    .replace(SEQUENCES, (sequence) => (color && COLOR.test(sequence) ? sequence : ""))
    .replace(CONTROLS, "")
    .replace(STRAY_ESCAPE, "");
}

/** JSON in which the characters that terminalText() takes out are written as escapes. */
export function terminalJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    CONTROLS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
