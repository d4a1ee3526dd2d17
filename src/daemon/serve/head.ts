/**
 * Parses the head of an HTTP/1.1 message, for connections that are forwarded. Strict: anything that two parsers could
 * read differently is rejected.
 */

export interface Head {
  /** Request line or status line. */
  first: string;
  fields: readonly (readonly [name: string, value: string])[];
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const REQUEST_LINE = /^[A-Z]{1,20} [\x21-\x7e]+ HTTP\/1\.[01]$/;
const STATUS_LINE = /^HTTP\/1\.[01] \d{3}(?: [\t\x20-\x7e\x80-\xff]*)?$/;

/** Offset of the body; -1 if the head is incomplete. */
export function endOfHead(bytes: Buffer): number {
  const at = bytes.indexOf("\r\n\r\n");
  return at < 0 ? -1 : at + 4;
}

/** Undefined if it is not a valid head of this kind. */
export function parseHead(bytes: Buffer, kind: "request" | "response"): Head | undefined {
  const [first = "", ...lines] = bytes.toString("latin1").split("\r\n").slice(0, -2);
  if (!(kind === "request" ? REQUEST_LINE : STATUS_LINE).test(first)) return undefined;
  const fields: [string, string][] = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    const value = line.slice(colon + 1).trim();
    if (!NAME.test(name) || !VALUE.test(value)) return undefined;
    fields.push([name, value]);
  }
  return { first, fields };
}

export function formatHead({ first, fields }: Head): Buffer {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${first}\r\n${lines.join("")}\r\n`, "latin1");
}

/** Several of one name joined, as in the Fetch standard. */
export function headersOf({ fields }: Head): Headers {
  return new Headers(fields.map(([name, value]): [string, string] => [name, value]));
}

/** Without the fields of these names, which are in lower case. */
export function without({ first, fields }: Head, names: readonly string[]): Head {
  return { first, fields: fields.filter(([name]) => !names.includes(name.toLowerCase())) };
}
