/** Words of a field, separated by blanks, commas or line ends. */
export function wordsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}
