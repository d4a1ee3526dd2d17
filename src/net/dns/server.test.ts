import { expect, test } from "bun:test";
import { Resolver } from "node:dns/promises";
import { connect } from "node:net";
import { type Answer, decode, encode } from "dns-packet";
import fc from "fast-check";
import { parseAddress, parseCidr } from "#net/address.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { Answerer } from "./answerer.ts";
import { type DnsFilter, resolvedAddresses } from "./filter.ts";
import { parseQuery } from "./query.ts";
import { DnsServer } from "./server.ts";
import { addressOfReverse, type Names } from "./zone.ts";

const subnet = parseCidr("10.241.0.0/24");
const client = parseAddress("10.241.0.9");
const host = parseAddress("127.0.0.1");

const names: Names = {
  addressesOf: (name, asker) => {
    if (name === "web") return [parseAddress("10.241.0.2"), parseAddress("fd00::2")];
    if (name === "bare") return [];
    return name === "friend" && asker === client ? [parseAddress("10.241.0.3")] : undefined;
  },
  nameOf: (address) => (address === "10.241.0.2" ? "web" : undefined),
};

const answerer = new Answerer({ names, resolvers: () => [] });

async function ask(name: string, type: "A" | "AAAA" | "PTR" | "SOA" | "AXFR", from = client) {
  const message = encode({ type: "query", id: 7, flags: 256, questions: [{ name, type }] });
  const origin = { address: from, subnet: from === host ? undefined : subnet, udp: true };
  const reply = await answerer.answer(message, origin);
  return reply && decode(reply);
}

function dataOf(answers: Answer[] | undefined): unknown[] {
  return (answers ?? []).map((answer) => ("data" in answer ? answer.data : undefined));
}

function rcodeOf(message: { flags?: number | undefined } | undefined): number | undefined {
  return message?.flags === undefined ? undefined : message.flags & 15;
}

test("a machine's name has its addresses, in any case of letters, and its address has its name", async () => {
  expect(dataOf((await ask("web.vm", "A"))?.answers)).toEqual(["10.241.0.2"]);
  expect(dataOf((await ask("WEB.VM", "AAAA"))?.answers)).toEqual(["fd00::2"]);
  expect(dataOf((await ask("2.0.241.10.in-addr.arpa", "PTR"))?.answers)).toEqual(["web.vm"]);
  expect((await ask("WEB.VM", "AAAA"))?.questions).toMatchObject([{ name: "WEB.VM" }]);
});

test("a name that does not exist is told from one that has nothing of that kind", async () => {
  for (const name of ["nobody.vm", "a.web.vm", "friend.vm", "3.0.241.10.in-addr.arpa"]) {
    const reply = await ask(name, "A", parseAddress("10.241.0.8"));
    expect(rcodeOf(reply)).toBe(3);
    expect(reply?.authorities).toMatchObject([{ type: "SOA", name: "vm" }]);
  }
  for (const [name, type] of [
    ["bare.vm", "A"],
    ["web.vm", "PTR"],
    ["vm", "A"],
  ] as const) {
    const reply = await ask(name, type);
    expect(rcodeOf(reply)).toBe(0);
    expect(reply?.answers).toEqual([]);
  }
});

test("who asks decides whom it sees", async () => {
  expect(dataOf((await ask("friend.vm", "A"))?.answers)).toEqual(["10.241.0.3"]);
  expect(rcodeOf(await ask("friend.vm", "A", host))).toBe(3);
});

test("the host's programs, and transfers, are refused what is not ours", async () => {
  expect(rcodeOf(await ask("example.test", "A", host))).toBe(5);
  expect(rcodeOf(await ask("example.test", "AXFR"))).toBe(5);
  expect(rcodeOf(await ask("example.test", "A"))).toBe(2);
});

test("whatever bytes come, there is an answer that can be read or silence", async () => {
  const valid = encode({
    type: "query",
    id: 7,
    questions: [{ name: "web.vm", type: "A" }],
    additionals: [
      {
        type: "OPT",
        name: ".",
        udpPayloadSize: 4096,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  });
  const damaged = fc
    .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((changes) => {
      const copy = Buffer.from(valid);
      for (const [at, byte] of changes) copy[at] = byte;
      return copy;
    });
  const cut = fc.nat(valid.length).map((length) => valid.subarray(0, length));
  const noise = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
  const behindHeader = noise.map((bytes) => Buffer.concat([valid.subarray(0, 12), bytes]));
  await fc.assert(
    fc.asyncProperty(fc.oneof(damaged, cut, noise, behindHeader), async (message) => {
      const before = Buffer.from(message);
      const reply = await answerer.answer(message, { address: client, subnet, udp: true });
      expect(message).toEqual(before);
      if (!reply) return;
      expect(reply.readUInt16BE(0)).toBe(message.readUInt16BE(0));
      expect(reply.readUInt16BE(2) & 0x8000).toBe(0x8000);
      expect(reply.length).toBeLessThanOrEqual(1232);
      decode(reply);
    }),
    { numRuns: 2000 },
  );
});

test("a machine that asks too often is told so: silence costs its programs seconds", async () => {
  const filter: DnsFilter = {
    judge: () => "open",
    mayAsk: () => false,
    placeholder: () => undefined,
    onAnswer: () => {},
  };
  const limited = new Answerer({ names, resolvers: () => [], filter });
  const questions = [{ name: "web.vm", type: "A" as const }];
  const message = encode({ type: "query", id: 7, flags: 256, questions });
  for (const udp of [true, false]) {
    const reply = await limited.answer(message, { address: client, subnet, udp });
    expect(rcodeOf(reply && decode(reply))).toBe(5);
    // The host's own programs are no machine.
    const own = await limited.answer(message, { address: host, subnet: undefined, udp });
    expect(dataOf(own && decode(own).answers)).toEqual(["10.241.0.2"]);
  }
});

test("an answer from upstream that is no message does not get past the filter", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      try {
        for (const { address } of resolvedAddresses(Buffer.from(bytes))) parseAddress(address);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }),
    { numRuns: 2000 },
  );
});

test("only the addresses that the name leads to count as its own", () => {
  const a = (name: string, data: string): Answer => ({ type: "A", name, ttl: 9, data });
  const message = encode({
    type: "response",
    questions: [{ name: "Shop.test", type: "A" }],
    answers: [
      { type: "CNAME", name: "shop.test", ttl: 9, data: "cdn.test" },
      a("cdn.test", "192.0.2.1"),
      a("other.test", "192.0.2.2"),
    ],
    additionals: [a("shop.test", "192.0.2.3")],
  });
  expect(resolvedAddresses(message) as object[]).toEqual([{ address: "192.0.2.1", ttl_s: 9 }]);
});

test("names are read byte by byte: a dot inside a label is no dot", () => {
  const message = encode({ type: "query", id: 1, questions: [{ name: "a_b.test", type: "A" }] });
  message[message.indexOf("_")] = ".".charCodeAt(0);
  const query = parseQuery(message);
  expect(query && "name" in query && query.name).toBe("a\\046b.test");
});

test("addressOfReverse() takes what names an address and nothing else", () => {
  expect(addressOfReverse("7.0.241.10.in-addr.arpa") as string).toBe("10.241.0.7");
  const digits = [..."fd000000000000000000000000000007"].reverse().join(".");
  expect(addressOfReverse(`${digits}.ip6.arpa`) as string).toBe("fd00::7");
  for (const name of ["7.0.241.in-addr.arpa", "x.0.241.10.in-addr.arpa", "7.ip6.arpa", "arpa"]) {
    expect(addressOfReverse(name)).toBeUndefined();
  }
});

test("the server answers over UDP and TCP, and lives through what is no question", async () => {
  await using server = new DnsServer({ names, resolvers: () => [] });
  const port = await server.listenLocal(0);
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${port}`]);
  expect(await resolver.resolve4("web.vm")).toEqual(["10.241.0.2"]);
  const junk = await Bun.udpSocket({ connect: { hostname: "127.0.0.1", port } });
  for (const size of [0, 1, 11, 12, 5000]) junk.send(Buffer.alloc(size, 0x41));
  junk.close();
  expect(await resolver.resolve4("web.vm")).toEqual(["10.241.0.2"]);

  const question = encode({ type: "query", id: 9, questions: [{ name: "web.vm", type: "A" }] });
  const framed = Buffer.concat([Buffer.from([0, question.length]), question]);
  const socket = connect({ host: "127.0.0.1", port });
  // Two questions, cut in an awkward place, then one that says it is too long.
  socket.write(framed.subarray(0, 1));
  socket.write(Buffer.concat([framed.subarray(1), framed, Buffer.from([0xff, 0xff])]));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const received = Buffer.concat(chunks);
  const size = received.readUInt16BE(0);
  expect(received.length).toBe(2 * (2 + size));
  expect(dataOf(decode(received.subarray(2, 2 + size)).answers)).toEqual(["10.241.0.2"]);
});

test("a port that is taken is named", async () => {
  await using first = new DnsServer({ names, resolvers: () => [] });
  await using second = new DnsServer({ names, resolvers: () => [] });
  const port = await first.listenLocal(0);
  expect(await bangerErrorOf(second.listenLocal(port))).toMatchObject({
    code: "conflict",
    message: `Cannot listen for DNS on 127.0.0.1:${port}: address already in use`,
  });
  const gateway = parseCidr("127.0.0.1/8");
  expect(await second.serve(gateway, { port })).toBe(false);
  expect(await first.serve(gateway, { port })).toBe(true);
});

test("an address that does not exist yet is an error, not a server that nobody reaches", async () => {
  await using server = new DnsServer({ names, resolvers: () => [] });
  expect(
    await server.serve(parseCidr("192.0.2.7/24"), { port: 0 }).catch((error: Error) => error),
  ).toBeInstanceOf(Error);
});
