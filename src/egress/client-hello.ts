/** Reads the name out of a TLS ClientHello (RFC 8446), which may be spread over several records and packets. */

/** All of a client's first flight, record headers included; today's largest, with post-quantum keys, have 2 KB. */
export const MAX_HELLO_BYTES = 32 * 1024;

const RECORD_HANDSHAKE = 22;
const RECORD_HEADER_BYTES = 5;
const MAX_RECORD_BYTES = 16_384;
/** Clients send one or two. */
const MAX_RECORDS = 64;
const MESSAGE_HEADER_BYTES = 4;
const HANDSHAKE_CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
/** encrypted_client_hello, and the extension that came before it. */
const EXTENSIONS_HIDING_NAMES: ReadonlySet<number> = new Set([0xfe0d, 0xffce]);
const NAME_TYPE_HOST = 0;

export type ClientHello =
  /** More bytes are needed: at least so many in all. */
  | { kind: "partial"; wanted_bytes: number }
  /** `name` is in lower case; absent if the client sent none. */
  | { kind: "hello"; name?: string; isNameHidden: boolean }
  | { kind: "invalid"; reason: string };

/** Whether a connection that begins with these bytes is TLS. */
export function looksLikeTls(bytes: Uint8Array): boolean {
  return bytes[0] === RECORD_HANDSHAKE && (bytes.length < 2 || bytes[1] === 3);
}

/** Never throws, and never reads more than `MAX_HELLO_BYTES`. */
export function parseClientHello(bytes: Uint8Array): ClientHello {
  try {
    const message = joinRecords(bytes);
    if (message instanceof Reader) return parseMessage(message);
    return bytes.length < MAX_HELLO_BYTES
      ? { kind: "partial", wanted_bytes: Math.min(message.wanted_bytes, MAX_HELLO_BYTES) }
      : { kind: "invalid", reason: "TLS ClientHello is too large" };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { kind: "invalid", reason: "malformed TLS ClientHello" };
  }
}

/** The handshake message without the records around it; while some of it is missing, where the next record ends. */
function joinRecords(bytes: Uint8Array): Reader | { wanted_bytes: number } {
  const parts: Uint8Array[] = [];
  let have_bytes = 0;
  let at = 0;
  while (at + RECORD_HEADER_BYTES <= bytes.length) {
    const [type = 0, , , high = 0, low = 0] = bytes.subarray(at, at + RECORD_HEADER_BYTES);
    const length = high * 256 + low;
    if (type !== RECORD_HANDSHAKE || length === 0 || length > MAX_RECORD_BYTES) throw malformed();
    if (parts.length === MAX_RECORDS) throw malformed();
    at += RECORD_HEADER_BYTES;
    const part = bytes.subarray(at, at + length);
    parts.push(part);
    have_bytes += part.length;
    at += length;
  }
  const wanted_bytes = at > bytes.length ? at : at + RECORD_HEADER_BYTES;
  if (have_bytes < MESSAGE_HEADER_BYTES) return { wanted_bytes };
  const joined = Buffer.concat(parts);
  if (joined[0] !== HANDSHAKE_CLIENT_HELLO) throw malformed();
  const end = MESSAGE_HEADER_BYTES + joined.readUIntBE(1, 3);
  if (end > MAX_HELLO_BYTES) throw malformed();
  if (have_bytes < end) return { wanted_bytes };
  return new Reader(joined.subarray(MESSAGE_HEADER_BYTES, end));
}

function parseMessage(message: Reader): ClientHello {
  message.skip(2 + 32);
  message.skip(message.u8());
  message.skip(message.u16());
  message.skip(message.u8());
  if (message.isAtEnd) return { kind: "hello", isNameHidden: false };
  const extensions = message.sub(message.u16());
  const seen = new Set<number>();
  let name: string | undefined;
  while (!extensions.isAtEnd) {
    const type = extensions.u16();
    const data = extensions.sub(extensions.u16());
    // Two of one kind could be read differently by the server.
    if (seen.has(type)) throw malformed();
    seen.add(type);
    if (type === EXTENSION_SERVER_NAME) name = parseServerName(data);
  }
  const isNameHidden = [...EXTENSIONS_HIDING_NAMES].some((type) => seen.has(type));
  return { kind: "hello", ...(name === undefined ? {} : { name }), isNameHidden };
}

function parseServerName(data: Reader): string {
  const names = data.sub(data.u16());
  const type = names.u8();
  const bytes = names.bytes(names.u16());
  // More than one name has never been in use; a server may pick any.
  if (type !== NAME_TYPE_HOST || !names.isAtEnd || !data.isAtEnd) throw malformed();
  const name = Buffer.from(bytes).toString("latin1").toLowerCase();
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name)) throw malformed();
  return name;
}

function malformed(): RangeError {
  return new RangeError("malformed");
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  u8(): number {
    return this.bytes(1)[0] ?? 0;
  }

  u16(): number {
    const [high = 0, low = 0] = this.bytes(2);
    return high * 256 + low;
  }

  bytes(count: number): Uint8Array {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw malformed();
    const found = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return found;
  }

  skip(count: number): void {
    this.bytes(count);
  }

  sub(count: number): Reader {
    return new Reader(this.bytes(count));
  }
}
