/** What a TLS client offers, read off its first record. */

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const ALPN = 16;
/** A ClientHello with post-quantum keys has 2 KB. */
const HELLO_MAX_BYTES = 16 * 1024 + 5;
const PROTOCOLS_MAX = 16;

/** Application protocols, the preferred first; none when the bytes say nothing of them, or make no sense. */
export function offeredProtocols(head: Uint8Array): string[] {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, HELLO_MAX_BYTES));
  try {
    const extension = alpnOf(handshakeOf(bytes));
    return extension ? protocolsOf(extension) : [];
  } catch (error) {
    // Reading past the end.
    if (error instanceof RangeError) return [];
    throw error;
  }
}

/** A handshake message may be in several records. */
function handshakeOf(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    if (bytes[at] !== HANDSHAKE_RECORD) break;
    const end = at + 5 + bytes.readUInt16BE(at + 3);
    parts.push(bytes.subarray(at + 5, end));
    at = end;
  }
  return Buffer.concat(parts);
}

function alpnOf(hello: Buffer): Buffer | undefined {
  if (hello[0] !== CLIENT_HELLO) return undefined;
  // Type, length, version and random.
  let at = 4 + 2 + 32;
  at += 1 + hello.readUInt8(at);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello.readUInt8(at);
  const end = Math.min(hello.length, at + 2 + hello.readUInt16BE(at));
  for (at += 2; at + 4 <= end; ) {
    const type = hello.readUInt16BE(at);
    const length = hello.readUInt16BE(at + 2);
    if (type === ALPN) return hello.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  return undefined;
}

function protocolsOf(extension: Buffer): string[] {
  const found: string[] = [];
  for (let at = 2; at < extension.length && found.length < PROTOCOLS_MAX; ) {
    const length = extension.readUInt8(at);
    found.push(extension.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return found;
}
