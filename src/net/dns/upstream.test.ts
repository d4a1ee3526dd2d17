import { expect, test } from "bun:test";
import { decode, encode } from "dns-packet";
import { parseAddress } from "#net/address.ts";
import { parseQuery, type Query } from "./query.ts";
import { askUpstream } from "./upstream.ts";

const loopback = parseAddress("127.0.0.1");
const signal = new AbortController().signal;

function query(): Query {
  const message = encode({ type: "query", id: 1, questions: [{ name: "Shop.test", type: "A" }] });
  const parsed = parseQuery(message);
  if (!parsed || "rcode" in parsed) throw new Error("no query");
  return parsed;
}

function answer(id: number, name: string, data: string): Buffer {
  const answers = [{ type: "A" as const, name, ttl: 9, data }];
  return encode({ type: "response", id, questions: [{ name, type: "A" }], answers });
}

/** A resolver that says what `replies` makes of each question. */
async function resolver(replies: (message: Buffer) => Buffer[]) {
  const asked: Buffer[] = [];
  const socket = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: {
      data: (self, data, port, address) => {
        asked.push(Buffer.from(data));
        for (const reply of replies(Buffer.from(data))) self.send(reply, port, address);
      },
    },
  });
  return {
    at: { address: loopback, port: socket.port },
    asked,
    [Symbol.dispose]: () => socket.close(),
  };
}

test("only the answer to this question counts, whatever comes first", async () => {
  using server = await resolver((message) => {
    const id = message.readUInt16BE(0);
    const question = Buffer.from(message);
    return [
      Buffer.alloc(3),
      answer((id + 1) & 0xffff, "shop.test", "192.0.2.1"),
      answer(id, "evil.test", "192.0.2.2"),
      question,
      answer(id, "shop.test", "192.0.2.7"),
    ];
  });
  const found = await askUpstream(query(), [server.at], signal);
  expect(found && decode(found).answers).toMatchObject([{ data: "192.0.2.7" }]);
});

test("each question has a number of its own, and nothing of the guest's but itself", async () => {
  using server = await resolver((message) => [
    answer(message.readUInt16BE(0), "shop.test", "192.0.2.7"),
  ]);
  for (let count = 0; count < 16; count++) await askUpstream(query(), [server.at], signal);
  expect(new Set(server.asked.map((message) => message.readUInt16BE(0))).size).toBeGreaterThan(8);
  expect(server.asked.map((message) => decode(message).questions?.[0]?.name)).toContain(
    "Shop.test",
  );
});

test("the next resolver is asked when one refuses the connection", async () => {
  using gone = await resolver(() => []);
  const closed = { ...gone.at };
  gone[Symbol.dispose]();
  using server = await resolver((message) => [
    answer(message.readUInt16BE(0), "shop.test", "192.0.2.7"),
  ]);
  const found = await askUpstream(query(), [closed, server.at], signal);
  expect(found && decode(found).answers).toMatchObject([{ data: "192.0.2.7" }]);
});

test("nobody to ask, or nobody who waits, is no answer", async () => {
  expect(await askUpstream(query(), [], signal)).toBeUndefined();
  using server = await resolver(() => []);
  expect(await askUpstream(query(), [server.at], AbortSignal.abort())).toBeUndefined();
  const later = new AbortController();
  const pending = askUpstream(query(), [server.at], later.signal);
  later.abort();
  expect(await pending).toBeUndefined();
});
