/** Forwards queries to the host's resolvers. */
import { randomInt } from "node:crypto";
import { connect } from "node:net";
import { onAbort } from "#base/abort.ts";
import type { Address } from "#net/address.ts";
import { encodeQuery, HEADER_BYTES, type Query } from "./query.ts";

const UDP_TIMEOUT_MS = 2_000;
const TCP_TIMEOUT_MS = 5_000;
/** Through all servers; the second time for a datagram that was lost. */
const ROUNDS = 2;
const FLAG_TRUNCATED = 0x0200;

export interface Resolver {
  address: Address;
  /** Usually 53. */
  port: number;
}

/** The first answer that one of them gives, as it came; undefined when none does. */
export async function askUpstream(
  query: Query,
  resolvers: readonly Resolver[],
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  for (let round = 0; round < ROUNDS; round++) {
    for (const resolver of resolvers) {
      if (signal.aborted) return undefined;
      const answer = await askUdp(query, resolver, signal);
      if (!answer) continue;
      if ((answer.readUInt16BE(2) & FLAG_TRUNCATED) === 0) return answer;
      return (await askTcp(query, resolver, signal)) ?? answer;
    }
  }
  return undefined;
}

/** From a port of its own each time: beside the number, that is what a forger has to guess. */
async function askUdp(
  query: Query,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const id = randomInt(0x1_0000);
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(UDP_TIMEOUT_MS)]);
  const onEnd = (): void => resolve(undefined);
  using _ = onAbort(limit, onEnd);
  let socket: Bun.udp.ConnectedSocket<"buffer"> | undefined;
  try {
    socket = await Bun.udpSocket({
      connect: { hostname: resolver.address, port: resolver.port },
      socket: {
        data: (_socket, data) => {
          const answer = Buffer.from(data);
          if (isAnswer(answer, id, query)) resolve(answer);
        },
        error: onEnd,
      },
    });
    socket.send(encodeQuery(query, id));
    return await promise;
  } catch {
    return undefined;
  } finally {
    socket?.close();
  }
}

async function askTcp(
  query: Query,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const id = randomInt(0x1_0000);
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const socket = connect({ host: resolver.address, port: resolver.port });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TCP_TIMEOUT_MS)]);
  const onEnd = (): void => resolve(undefined);
  using _ = onAbort(limit, onEnd);
  let received = Buffer.alloc(0);
  socket.on("error", onEnd);
  socket.on("close", onEnd);
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    const size_bytes = received.length < 2 ? undefined : received.readUInt16BE(0);
    if (size_bytes === undefined || received.length < 2 + size_bytes) return;
    const answer = received.subarray(2, 2 + size_bytes);
    resolve(isAnswer(answer, id, query) ? answer : undefined);
  });
  const message = encodeQuery(query, id);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  socket.write(Buffer.concat([length, message]));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

/** Whether it answers this question: number, flag and the question itself, but for its letters' case. */
function isAnswer(message: Buffer, id: number, { question }: Query): boolean {
  if (message.length < HEADER_BYTES + question.length) return false;
  const isResponse = (message.readUInt16BE(2) & 0x8000) !== 0;
  if (message.readUInt16BE(0) !== id || !isResponse || message.readUInt16BE(4) !== 1) return false;
  const theirs = message.subarray(HEADER_BYTES, HEADER_BYTES + question.length);
  const [name, kind] = [question.subarray(0, -4), question.subarray(-4)];
  return theirs.subarray(-4).equals(kind) && lower(theirs.subarray(0, -4)).equals(lower(name));
}

/** ASCII letters in lower case. A label's length is never one of them. */
function lower(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte)));
}
