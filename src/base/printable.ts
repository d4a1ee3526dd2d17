/**
 * Text from guests, registries, catalogs and other people's files, made fit to be printed or put into a message.
 * What must not reach a terminal is one set: C0 and C1 controls, and the marks that reorder text on a screen.
 */
const CONTROL = "\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069";
const ANY = new RegExp(`[${CONTROL}]`, "g");
const ALL_BUT_LAYOUT = new RegExp(`(?![\\t\\n])[${CONTROL}]`, "g");
/** A return before a newline is layout as well, and an escape character may begin a colour. */
const ALL_BUT_COLOR = new RegExp(`(?![\\t\\n\\x1b]|\\r\\n)[${CONTROL}]`, "g");
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

export function hasControls(text: string): boolean {
  return text.search(ANY) >= 0;
}

/** For quoting: a mark stands for each control; with `layout`, newlines and tabs stay. */
export function markControls(text: string, { layout = false }: { layout?: boolean } = {}): string {
  return text.replace(layout ? ALL_BUT_LAYOUT : ANY, "\ufffd");
}

/** One line: escape sequences and controls are gone, line breaks and tabs are spaces. */
export function safeLine(text: string): string {
  return Bun.stripANSI(text)
    .replace(/[\r\n\t]+/g, " ")
    .replace(ANY, "");
}

/** Several lines: newlines and tabs stay. */
export function safeText(text: string): string {
  return Bun.stripANSI(text).replace(ALL_BUT_LAYOUT, "");
}

/** Text for a terminal: of all control sequences only colours are let through, whoever wrote the text. */
export function terminalText(text: string, { color = true }: { color?: boolean } = {}): string {
  return text
    .replace(SEQUENCES, (sequence) => (color && COLOR.test(sequence) ? sequence : ""))
    .replace(ALL_BUT_COLOR, "")
    .replace(STRAY_ESCAPE, "");
}

/** JSON in which the characters that terminalText() takes out are written as escapes. */
export function terminalJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    ALL_BUT_COLOR,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
