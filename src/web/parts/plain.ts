/** Output of programs without escape sequences, and without what a terminal would not show. */
const CONTROL = new RegExp(
  [
    String.raw`\x1b\[[0-?]*[ -/]*[@-~]`,
    String.raw`\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)`,
    String.raw`\x1b.`,
    String.raw`[\x00-\x08\x0b-\x1f\x7f]`,
  ].join("|"),
  "g",
);

export function plain(text: string): string {
  return text.replaceAll(CONTROL, "");
}
