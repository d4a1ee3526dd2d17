import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import * as tls from "node:tls";
import { WebSocketServer } from "ws";
import { HOST, PLACEHOLDER, Site, VALUE } from "#test/intercept.ts";

/** What comes back for bytes that a machine sends over TLS, until the connection ends; `later` is sent when some have come. */
async function raw(
  site: Site,
  request: string,
  later: { after: string; send: string } | undefined = undefined,
): Promise<string> {
  const ca = readFileSync(site.caPath);
  const socket = tls.connect({ socket: connect(site.port, "127.0.0.1"), servername: HOST, ca });
  socket.write(Buffer.from(request, "latin1"));
  let text = "";
  try {
    for await (const chunk of socket) {
      text += chunk.toString("latin1");
      if (later && text.includes(later.after)) {
        socket.write(Buffer.from(later.send, "latin1"));
        later = undefined;
      }
    }
  } catch {
    // Cut: what came until then counts.
  }
  socket.destroy();
  return text;
}

const HEAD = `Host: ${HOST}\r\nAuthorization: Bearer ${PLACEHOLDER}\r\n`;

test("requests that were sent one upon the other are answered in order, and each is judged by itself", async () => {
  await using site = await Site.open();
  const text = await raw(
    site,
    `GET /1 HTTP/1.1\r\n${HEAD}\r\nPOST /2 HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Late: 1\r\n\r\n` +
      `GET /3?${PLACEHOLDER} HTTP/1.1\r\n${HEAD}\r\nGET /4 HTTP/1.1\r\n${HEAD}\r\n`,
  );
  expect(site.seen.map(({ path, body }) => `${path} ${body}`)).toEqual(["/1 ", "/2 abcde"]);
  expect(text.match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 403"]);
});

test("messages that two parsers could read in two ways are refused", async () => {
  await using site = await Site.open();
  const bad = [
    `POST / HTTP/1.1\r\n${HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\n${HEAD}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`,
    `POST / HTTP/1.1\r\n${HEAD}Content-Length: +3\r\n\r\nabc`,
    `POST / HTTP/1.1\r\n${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\n${HEAD}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
    `GET / HTTP/1.1\r\n${HEAD}Host: other.test\r\n\r\n`,
    `GET / HTTP/1.1\r\n${HEAD} folded: x\r\n\r\n`,
    `GET / HTTP/1.1\n${HEAD}\n\r\n\r\n`,
    `GET / HTTP/2.0\r\n${HEAD}\r\n`,
    `GET https://other.test/ HTTP/1.1\r\n${HEAD}\r\n`,
    `GET / HTTP/1.1\r\nAuthorization: Bearer ${PLACEHOLDER}\r\n\r\n`,
    `POST / HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `GET / HTTP/1.1\r\n${HEAD}X: ${"x".repeat(70_000)}\r\n\r\n`,
    `GET https://${HOST}/ HTTP/1.1\r\n${HEAD}\r\n`,
    `GET / HTTP/1.1\r\n${HEAD}Host: ${HOST}\r\n\r\n`,
    `GET / HTTP/1.1\r\n${HEAD}X: a\0b\r\n\r\n`,
    `GET /\0 HTTP/1.1\r\n${HEAD}\r\n`,
    `GET / HTTP/1.1\r\n${HEAD}X: a\nHost: other.test\r\n\r\n`,
    `GET / HTTP/1.1\r\n${HEAD}X: a\rHost: other.test\r\n\r\n`,
    `GET / HTTP/1.1\r\n${HEAD}: x\r\n\r\n`,
    ` GET / HTTP/1.1\r\n${HEAD}\r\n`,
    `\r\nGET / HTTP/1.1\r\n${HEAD}\r\n`,
    `POST / HTTP/1.1\r\n${HEAD}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`,
    `POST / HTTP/1.1\r\n${HEAD}Content-Length: 3, 3\r\n\r\nabc`,
    `POST / HTTP/1.1\r\n${HEAD}Content-Length: 0x3\r\n\r\nabc`,
    `POST / HTTP/1.1\r\n${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    ...[
      "0x3\r\nabc",
      "+3\r\nabc",
      " 3\r\nabc",
      "3\nabc",
      "3;a\n\r\nabc",
      "3;a\rb\r\nabc",
      "3\r\nabcd",
    ].map(
      (chunk) =>
        `POST / HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk}\r\n0\r\n\r\n`,
    ),
  ];
  for (const request of bad) {
    const status = /^HTTP\/1.1 4\d\d/.test(await raw(site, request));
    expect([status, request.slice(0, 200)]).toEqual([true, request.slice(0, 200)]);
  }
  expect(await raw(site, `CONNECT ${HOST}:443 HTTP/1.1\r\n${HEAD}\r\n`)).toStartWith(
    "HTTP/1.1 405",
  );
  expect(await raw(site, `GET / HTTP/1.1\r\nHost: other.test\r\n\r\n`)).toStartWith("HTTP/1.1 421");
  expect(site.seen).toEqual([]);
});

test("a connection on which no whole request comes is closed", async () => {
  await using site = await Site.open({ idle_max_ms: 300 });
  expect(await raw(site, "")).toBe("");
  expect(await raw(site, "GET / HTTP/1.1\r\nX: ")).toBe("");
});

test("a client that waits for 100 is told to go on", async () => {
  await using site = await Site.open();
  const head = `POST / HTTP/1.1\r\n${HEAD}Expect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n`;
  expect(await raw(site, `${head}abc`)).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 /);
});

test("HTTP/1.0 gets an answer without chunks, and the end of the connection", async () => {
  await using site = await Site.open({ answer: (_, response) => response.end("plain") });
  const text = await raw(site, `GET / HTTP/1.0\r\n${HEAD}\r\n`);
  expect(text).toStartWith("HTTP/1.1 200");
  expect(text).toEndWith("\r\n\r\nplain");
});

test("a WebSocket gets the secret in its upgrade, and is searched both ways", async () => {
  await using site = await Site.open();
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true });
  const got: string[] = [];
  let extensions: string | undefined;
  site.server.on("upgrade", (request, socket, head) => {
    extensions = request.headers["sec-websocket-extensions"];
    sockets.handleUpgrade(request, socket, head, (server) => {
      got.push(request.headers.authorization ?? "");
      server.on("message", (data) => {
        got.push(String(data));
        server.send(`you said ${data}, and ${VALUE}`);
      });
    });
  });
  const text = await raw(
    site,
    `GET /ws HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${"A".repeat(22)}==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n` +
      frame("hello"),
    {
      after: "you said hello",
      send:
        frame(`now ${PLACEHOLDER.slice(0, 8)}`, { isLast: false }) +
        frame("ping", { opcode: 9 }) +
        frame(`${PLACEHOLDER.slice(8)} again`, { opcode: 0 }),
    },
  );
  expect(text).toStartWith("HTTP/1.1 101");
  expect(got).toEqual([`Bearer ${VALUE}`, "hello"]);
  expect(extensions).toBeUndefined();
  expect(text).toContain(`you said hello, and ${"*".repeat(VALUE.length)}`);
  expect(text).not.toContain(VALUE);
  // 1008: a policy was violated.
  expect(text).toEndWith("\x88\x02\x03\xf0");
  expect(site.decisions.at(-1)).toMatchObject({ verdict: "deny", secret: "TOKEN" });
});

test("a value that a server sends in parts of a message, with a ping between them, is covered", async () => {
  await using site = await Site.open();
  const half = VALUE.length >> 1;
  const long = "x".repeat(70_000);
  site.server.on("upgrade", (_, socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    const sent = [
      [0x01, `${long}a ${VALUE.slice(0, half)}`],
      [0x89, `ping ${VALUE}`],
      [0x00, VALUE.slice(half, -1)],
      [0x80, `${VALUE.slice(-1)} b`],
      [0x81, `one ${VALUE}`],
      [0x88, "\x03\xe8bye"],
    ] as const;
    for (const [first, text] of sent) socket.write(serverFrame(first, text));
    socket.end();
  });
  const text = await raw(
    site,
    `GET /ws HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  );
  const masked = "*".repeat(VALUE.length);
  const [, bytes = ""] = text.split("\r\n\r\n");
  const got = serverFrames(bytes);
  const ofKind = (...kinds: number[]) => got.filter(([first]) => kinds.includes(first & 0x0f));
  expect(ofKind(9)).toEqual([[0x89, `ping ${masked}`]]);
  expect(ofKind(8)).toEqual([[0x88, "\x03\xe8bye"]]);
  const data = ofKind(0, 1);
  expect(data.at(-1)).toEqual([0x81, `one ${masked}`]);
  expect(
    data
      .slice(0, -1)
      .map(([, payload]) => payload)
      .join(""),
  ).toBe(`${long}a ${masked} b`);
  const [opened, ...continued] = data.slice(0, -1).map(([first]) => first);
  expect([opened, continued.pop()]).toEqual([0x01, 0x80]);
  expect(continued.every((first) => first === 0)).toBe(true);
});

function serverFrame(first: number, text: string): Buffer {
  const payload = Buffer.from(text, "latin1");
  const head = Buffer.alloc(payload.length < 126 ? 2 : 10);
  head[0] = first;
  head[1] = payload.length < 126 ? payload.length : 127;
  if (head.length > 2) head.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([head, payload]);
}

function serverFrames(text: string): [first: number, payload: string][] {
  const bytes = Buffer.from(text, "latin1");
  const found: [number, string][] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const [first = 0, short = 0] = bytes.subarray(at);
    const length =
      short === 127
        ? Number(bytes.readBigUInt64BE(at + 2))
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : short;
    at += short === 127 ? 10 : short === 126 ? 4 : 2;
    found.push([first, bytes.toString("latin1", at, at + length)]);
    at += length;
  }
  return found;
}

function frame(text: string, { opcode = 1, isLast = true } = {}): string {
  const mask = [1, 2, 3, 4];
  const payload = Buffer.from(text).map((byte, index) => byte ^ (mask[index & 3] ?? 0));
  const head = Buffer.from([(isLast ? 0x80 : 0) | opcode, 0x80 | text.length, ...mask]);
  return Buffer.concat([head, payload]).toString("latin1");
}
