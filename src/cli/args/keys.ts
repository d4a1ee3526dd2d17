/** Key names and the bytes that a terminal sends for them. */
import { BangerError } from "#base/error.ts";

const ESC = "\u001b";
const named: Readonly<Record<string, string>> = {
  enter: "\r",
  tab: "\t",
  esc: ESC,
  space: " ",
  backspace: "\u007f",
  up: `${ESC}[A`,
  down: `${ESC}[B`,
  right: `${ESC}[C`,
  left: `${ESC}[D`,
  home: `${ESC}[H`,
  end: `${ESC}[F`,
  pageup: `${ESC}[5~`,
  pagedown: `${ESC}[6~`,
  insert: `${ESC}[2~`,
  delete: `${ESC}[3~`,
  f1: `${ESC}OP`,
  f2: `${ESC}OQ`,
  f3: `${ESC}OR`,
  f4: `${ESC}OS`,
  f5: `${ESC}[15~`,
  f6: `${ESC}[17~`,
  f7: `${ESC}[18~`,
  f8: `${ESC}[19~`,
  f9: `${ESC}[20~`,
  f10: `${ESC}[21~`,
  f11: `${ESC}[23~`,
  f12: `${ESC}[24~`,
};

/** "enter", "ctrl-c", "f5", or one character for itself. */
export function keyBytes(text: string): string {
  const name = text.toLowerCase();
  const known = Object.hasOwn(named, name) ? named[name] : undefined;
  if (known !== undefined) return known;
  const control = /^(?:ctrl-|\^)([a-z@[\\\]^_])$/.exec(name)?.[1];
  if (control) return String.fromCharCode(control.toUpperCase().charCodeAt(0) & 0x1f);
  if ([...text].length === 1) return text;
  throw new BangerError("invalid_argument", `unknown key "${text}"`, {
    hint: "Use a key name such as enter, tab, esc, up, f1 or ctrl-c",
  });
}

/** "ctrl-p,ctrl-q" as the bytes that they send one after another; empty for "". */
export function keySequence(text: string): Uint8Array {
  const keys = text.split(",").filter((key) => key !== "");
  return new TextEncoder().encode(keys.map(keyBytes).join(""));
}
