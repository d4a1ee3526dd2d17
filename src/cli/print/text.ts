/** Text from guests, registries and catalogs, made safe to show. */

// C0 and C1 controls, and the marks that reorder text on a screen.
const CONTROLS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const CONTROLS_BUT_LAYOUT =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** One line: escape sequences and controls are gone, line breaks and tabs are spaces. */
export function safeLine(text: string): string {
  return Bun.stripANSI(text)
    .replace(/[\r\n\t]+/g, " ")
    .replace(CONTROLS, "");
}

/** Several lines: newlines and tabs stay. */
export function safeText(text: string): string {
  return Bun.stripANSI(text).replace(CONTROLS_BUT_LAYOUT, "");
}

/** The beginning of `text` that fits into `columns`, with an ellipsis when it is cut. */
export function fit(text: string, columns: number): string {
  if (Bun.stringWidth(text) <= columns) return text;
  let cut = "";
  let width = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    width += Bun.stringWidth(segment);
    if (width > columns - 1) break;
    cut += segment;
  }
  return columns < 1 ? "" : `${cut}…`;
}
