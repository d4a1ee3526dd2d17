/** The forms in which a value can be in a message: as it is, in base64, in hexadecimal, in URLs and in JSON. */

/** A form that is shorter would be found where it is not. */
const FORM_MIN_BYTES = 6;

export function formsOf(value: string): Buffer[] {
  const bytes = Buffer.from(value);
  const inUrl = encodeURIComponent(value);
  const texts = new Set([
    value,
    inUrl,
    inUrl.replaceAll("%20", "+"),
    // Of programs that write %2f.
    inUrl.replaceAll(/%../g, (code) => code.toLowerCase()),
    JSON.stringify(value).slice(1, -1),
    ...base64Forms(bytes),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
  ]);
  return [...texts]
    .filter((text) => text.length >= FORM_MIN_BYTES)
    .map((text) => Buffer.from(text));
}

/** Base64 of anything that has the bytes in it has one of these in it: three alignments, two alphabets. */
function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    // Characters that depend on the bytes alone, and not on what is before or after.
    const from = Math.ceil((before * 8) / 6);
    const to = Math.floor((padded.length * 8) / 6);
    return (["base64", "base64url"] as const).map((form) => padded.toString(form).slice(from, to));
  });
}
