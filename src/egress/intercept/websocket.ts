/** An upgraded connection: both sides' messages are searched as the other will read them. */
import type { Duplex } from "node:stream";
import { searched } from "./body.ts";
import type { Exchanges } from "./exchange.ts";
import type { ByteReader } from "./http1/reader.ts";
import { Refused } from "./refused.ts";
import { Replacer, type Rule } from "./replacer.ts";
import { write, writeAll } from "./write.ts";

const CLOSE_GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9]);
/** Of a policy that was violated: 1008. */
const CLOSE_POLICY = Buffer.from([0x88, 0x02, 0x03, 0xf0]);

export async function serveWebSocket(
  {
    guest,
    server,
    fromGuest,
    fromServer,
  }: { guest: Duplex; server: Duplex; fromGuest: ByteReader; fromServer: ByteReader },
  exchanges: Exchanges,
): Promise<void> {
  const outward = writeAll(
    server,
    frames(fromGuest, exchanges.refusals("a WebSocket message")),
  ).then(() => server.end());
  const inward = writeAll(guest, cleaned(fromServer, exchanges.cleaning())).then(() => guest.end());
  try {
    // What a server that has closed would still be sent is nobody's.
    await Promise.race([inward, outward.then(() => inward)]);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { message: reason, secret } = error;
    exchanges.connection.log({ verdict: "deny", reason, secret });
    await write(guest, secret ? CLOSE_POLICY : CLOSE_GOING_AWAY).catch(() => {});
  } finally {
    outward.catch(() => {});
    inward.catch(() => {});
    server.destroy();
    guest.end();
  }
}

interface Frame {
  /** FIN, and what kind of frame it is. */
  first: number;
  length: number;
  /** As it came: all before the payload. */
  head: Buffer;
  mask: Buffer;
}

const FIN = 0x80;
const CONTROL = 0x08;
const CONTINUED = 0x00;

/** Undefined at the end of the connection. */
async function nextFrame(
  reader: ByteReader,
  { isMasked }: { isMasked: boolean },
): Promise<Frame | undefined> {
  const start = await optional(reader, 2);
  if (!start) return undefined;
  const [first = 0, second = 0] = start;
  if ((first & 0x70) !== 0)
    throw new Refused("a WebSocket extension that was not agreed on", { status: 400 });
  if (((second & 0x80) !== 0) !== isMasked) {
    const side = isMasked ? "without a mask" : "of the server with a mask";
    throw new Refused(`a WebSocket frame ${side}`, { status: 400 });
  }
  const short = second & 0x7f;
  if ((first & CONTROL) !== 0 && (short > 125 || (first & FIN) === 0))
    throw new Refused("a WebSocket control frame in parts", { status: 400 });
  const long = await needed(reader, short === 126 ? 2 : short === 127 ? 8 : 0);
  const length =
    short === 126 ? long.readUInt16BE(0) : short === 127 ? Number(long.readBigUInt64BE(0)) : short;
  if (length > Number.MAX_SAFE_INTEGER)
    throw new Refused("a WebSocket frame that is too long", { status: 400 });
  const mask = await needed(reader, isMasked ? 4 : 0);
  return { first, length, head: Buffer.concat([start, long, mask]), mask };
}

/** Passes frames on piece by piece; a secret is refused before the piece that completes it. */
async function* frames(reader: ByteReader, rules: readonly Rule[]): AsyncGenerator<Uint8Array> {
  const messages = new Replacer(rules);
  // They may come between the parts of a message.
  const controls = new Replacer(rules);
  for (;;) {
    const frame = await nextFrame(reader, { isMasked: true });
    if (!frame) return;
    const { first, length, head, mask } = frame;
    yield head;
    const replacer = (first & CONTROL) === 0 ? messages : controls;
    let at = 0;
    for await (const piece of reader.exactly(length)) {
      const plain = Buffer.allocUnsafe(piece.length);
      for (let index = 0; index < piece.length; index++) {
        plain[index] = (piece[index] ?? 0) ^ (mask[(at + index) & 3] ?? 0);
      }
      at += piece.length;
      replacer.push(plain);
      yield piece;
    }
  }
}

/** What a server sends, cleaned also where a value goes on in the next frame of a message. */
async function* cleaned(reader: ByteReader, rules: readonly Rule[]): AsyncGenerator<Uint8Array> {
  /** Of a message in several frames, and the kind that its first frame says. */
  let parts: { replacer: Replacer; kind: number } | undefined;
  for (;;) {
    const frame = await nextFrame(reader, { isMasked: false });
    if (!frame) return;
    const { first, length, head } = frame;
    const isWhole = (first & CONTROL) !== 0 || (!parts && (first & FIN) !== 0);
    if (isWhole) {
      // Asterisks take the place of a value one for one.
      yield head;
      yield* searched(reader.exactly(length), rules);
      continue;
    }
    parts ??= { replacer: new Replacer(rules), kind: first & 0x0f };
    for await (const piece of reader.exactly(length)) {
      const passed = parts.replacer.push(piece);
      if (passed.length === 0) continue;
      yield* frameOf(parts.kind, passed);
      parts.kind = CONTINUED;
    }
    if ((first & FIN) === 0) continue;
    yield* frameOf(FIN | parts.kind, parts.replacer.end());
    parts = undefined;
  }
}

function* frameOf(first: number, payload: Buffer): Generator<Uint8Array> {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = length < 126 ? length : length < 65_536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  else if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  yield head;
  if (length > 0) yield payload;
}

async function optional(reader: ByteReader, length: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  try {
    for await (const piece of reader.exactly(length)) pieces.push(piece);
  } catch (error) {
    if (error instanceof Refused && pieces.length === 0) return undefined;
    throw error;
  }
  return Buffer.concat(pieces);
}

async function needed(reader: ByteReader, length: number): Promise<Buffer> {
  const bytes = await optional(reader, length);
  if (bytes) return bytes;
  throw new Refused("a WebSocket frame is cut short", { status: 400 });
}
