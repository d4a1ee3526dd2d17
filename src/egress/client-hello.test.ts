import { expect, test } from "bun:test";
import { connect, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { MAX_HELLO_BYTES, parseClientHello } from "./client-hello.ts";
import { Classifier, classify } from "./first-bytes.ts";

/** What Bun's own TLS client sends first. */
async function realHello(servername: string | undefined): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (data: Buffer) => {
      resolve(data);
      socket.destroy();
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const socket = connect(port, "127.0.0.1");
  const client = connectTls({ socket, ...(servername ? { servername } : {}) });
  client.on("error", () => {});
  try {
    return await promise;
  } finally {
    client.destroy();
    server.close();
  }
}

function u16(value: number): number[] {
  return [value >> 8, value & 255];
}

function serverName(...names: string[]): Buffer {
  const list = names.map((name) =>
    Buffer.from([0, ...u16(name.length), ...Buffer.from(name, "latin1")]),
  );
  const all = Buffer.concat(list);
  return extension(0, Buffer.from([...u16(all.length), ...all]));
}

function extension(type: number, data: Uint8Array): Buffer {
  return Buffer.from([...u16(type), ...u16(data.length), ...data]);
}

function hello(...extensions: Buffer[]): Buffer {
  const all = Buffer.concat(extensions);
  const body = Buffer.from([
    ...[3, 3, ...new Uint8Array(32), 0, ...u16(2), 0x13, 0x01, 1, 0],
    ...u16(all.length),
    ...all,
  ]);
  return Buffer.from([1, 0, ...u16(body.length), ...body]);
}

/** In records of at most so many bytes. */
function records(message: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    parts.push(Buffer.from([22, 3, 1, ...u16(part.length), ...part]));
  }
  return Buffer.concat(parts);
}

test("parseClientHello() finds the name that a real client sends, and notices that one is missing", async () => {
  expect(parseClientHello(await realHello("api.example.test"))).toEqual({
    kind: "hello",
    name: "api.example.test",
    isNameHidden: false,
  });
  expect(classify(await realHello(undefined))).toEqual({
    kind: "tls",
    reason: "TLS without a server name (SNI)",
  });
});

test("parseClientHello() waits for the rest, however the hello is cut into records and packets", () => {
  const message = hello(serverName("Shop.Test"), extension(16, new Uint8Array(300)));
  for (const size of [7, 100, 16_384]) {
    const bytes = records(message, size);
    for (let end = 0; end < bytes.length; end += 7) {
      expect(parseClientHello(bytes.subarray(0, end))).toMatchObject({ kind: "partial" });
    }
    expect(parseClientHello(bytes)).toEqual({
      kind: "hello",
      name: "shop.test",
      isNameHidden: false,
    });
  }
});

test("a name that is hidden, ambiguous or no name is none", () => {
  const ech = extension(0xfe0d, new Uint8Array(8));
  expect(classify(records(hello(serverName("shop.test"), ech)))).toEqual({
    kind: "tls",
    reason: "encrypted ClientHello (ECH) hides the server name",
  });
  const cases = [
    hello(serverName("a.test"), serverName("b.test")),
    hello(serverName("a.test", "b.test")),
    hello(serverName("a.test\0.evil.test")),
    hello(serverName("a..test")),
    hello(serverName("")),
    Buffer.from([2, 0, 0, 1, 0]),
  ];
  for (const message of cases) {
    expect(classify(records(message))).toEqual({
      kind: "refused",
      reason: "malformed TLS ClientHello",
    });
  }
});

test("a hello that does not end is refused at its cap, and no bytes make the parser fail", () => {
  const endless = records(Buffer.concat([Buffer.from([1, 0, 255, 255]), Buffer.alloc(70_000)]));
  expect(parseClientHello(endless).kind).toBe("invalid");
  const silent = Buffer.concat([Buffer.from([22, 3, 1, 64, 0]), Buffer.alloc(MAX_HELLO_BYTES)]);
  expect(parseClientHello(silent).kind).toBe("invalid");
  const slow = records(hello(serverName("shop.test"), extension(16, new Uint8Array(300))), 1);
  expect(parseClientHello(slow.subarray(0, 400)).kind).toBe("invalid");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      parseClientHello(bytes);
      classify(records(Buffer.concat([Buffer.from([1, 0, 0, bytes.length & 255]), bytes])));
    }),
  );
});

test("a hello that comes byte by byte is looked at once for each record", () => {
  const message = hello(serverName("shop.test"));
  const bytes = records(message, 20);
  const ends = new Set<number>();
  for (let end = 2; end < bytes.length; end++) {
    const found = parseClientHello(bytes.subarray(0, end));
    if (found.kind !== "partial") break;
    expect(found.wanted_bytes).toBeGreaterThan(end);
    ends.add(found.wanted_bytes);
  }
  // The head and the end of each.
  expect(ends.size).toBeLessThanOrEqual(2 * Math.ceil(message.length / 20));
});

test("bytes that come one by one are taken for what they are all at once", () => {
  const samples = [
    records(hello(serverName("shop.test"))),
    records(hello(serverName("shop.test")), 7),
    Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]),
    ...[
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "\r\n\r\nGET / HTTP/1.1\n",
      "SSH-2.0-x\r\n",
      "PRI * HTTP/2.0\r\n\r\n",
      "\0\x01binary",
      "abc\x80",
      "\r\n".repeat(200),
      `GET /${"x".repeat(20_000)} HTTP/1.1\r\n`,
    ].map((text) => Buffer.from(text, "latin1")),
  ];
  for (const bytes of samples) {
    const classifier = new Classifier();
    let length = 1;
    while (length < bytes.length && !classifier.isKnown(bytes.subarray(0, length))) length++;
    expect(classifier.end(bytes.subarray(0, length))).toEqual(classify(bytes));
  }
  const early = new Classifier();
  early.isKnown(Buffer.from("GET /"));
  early.isKnown(Buffer.from("GET / HTTP/1.1"));
  expect(early.end(Buffer.from("GET / HTTP/1.1"))).toEqual({ kind: "http" });
});
