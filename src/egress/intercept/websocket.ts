/** An upgraded connection: frames of the machine are searched as the server will read them, what comes back is cleaned. */
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
  const inward = writeAll(guest, searched(fromServer.rest(), exchanges.cleaning())).then(() =>
    guest.end(),
  );
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

/** Passes frames on piece by piece; a secret is refused before the piece that completes it. */
async function* frames(reader: ByteReader, rules: readonly Rule[]): AsyncGenerator<Uint8Array> {
  const messages = new Replacer(rules);
  // They may come between the parts of a message.
  const controls = new Replacer(rules);
  for (;;) {
    const start = await optional(reader, 2);
    if (!start) return;
    const [first = 0, second = 0] = start;
    if ((first & 0x70) !== 0)
      throw new Refused("a WebSocket extension that was not agreed on", { status: 400 });
    if ((second & 0x80) === 0)
      throw new Refused("a WebSocket frame without a mask", { status: 400 });
    const short = second & 0x7f;
    const long = await needed(reader, short === 126 ? 2 : short === 127 ? 8 : 0);
    const length =
      short === 126
        ? long.readUInt16BE(0)
        : short === 127
          ? Number(long.readBigUInt64BE(0))
          : short;
    if (length > Number.MAX_SAFE_INTEGER)
      throw new Refused("a WebSocket frame that is too long", { status: 400 });
    const mask = await needed(reader, 4);
    yield Buffer.concat([start, long, mask]);
    const replacer = (first & 0x08) === 0 ? messages : controls;
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
