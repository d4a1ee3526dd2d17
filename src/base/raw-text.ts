/**
 * Names that need not be UTF-8, as text that JSON can carry: a byte that is none of a valid character stands as a lone
 * surrogate, U+DC80 to U+DCFF, as in Python's "surrogateescape".
 */

const decoder = new TextDecoder("utf-8", { fatal: true });
const LONE = /[\udc80-\udcff]/;

export function textOfBytes(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    return escaped(bytes);
  }
}

export function bytesOfText(text: string): Uint8Array {
  if (!LONE.test(text)) return new TextEncoder().encode(text);
  const parts = Array.from(text, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const isByte = code >= 0xdc80 && code <= 0xdcff;
    return isByte ? Buffer.of(code - 0xdc00) : Buffer.from(character);
  });
  return Buffer.concat(parts);
}

function escaped(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = characterLength(bytes, at);
    if (length === 0) text += String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
    else text += decoder.decode(bytes.subarray(at, at + length));
    at += Math.max(length, 1);
  }
  return text;
}

/** Of the valid character that begins here; 0 if there is none. */
function characterLength(bytes: Uint8Array, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    try {
      decoder.decode(bytes.subarray(at, at + length));
      return length;
    } catch {
      // It may be longer.
    }
  }
  return 0;
}
