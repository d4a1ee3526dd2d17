/** Text of guests, as one line or many: nothing in it is invisible, and nothing reorders what is around it. */

/** Controls, directions and joiners, separators of lines. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Each of them but tabs and line feeds as its code: "<U+202E>". */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) =>
    character === "\t" || character === "\n" ? character : codeOf(character),
  );
}

/** The same of a name: tabs and line feeds are none of it. */
export function visibleName(text: string): string {
  return text.replace(UNSEEN, codeOf);
}

function codeOf(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase();
  return `<U+${code.padStart(4, "0")}>`;
}
