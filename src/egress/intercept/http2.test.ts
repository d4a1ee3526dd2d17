import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import * as tls from "node:tls";
import { HOST, PLACEHOLDER, Site, VALUE } from "#test/intercept.ts";

/** Types of frames. */
const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION] = [0, 1, 3, 4, 6, 9];
const END_STREAM = 1;
const END_HEADERS = 4;
const CANCEL = Buffer.from([0, 0, 0, 8]);

type Pair = [name: string, value: string];
const REQUEST: Pair[] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/"],
  [":authority", HOST],
];
const FINE = REQUEST.slice(0, 3);

/** A client that keeps to no rules. */
class Raw implements Disposable {
  readonly #socket: tls.TLSSocket;
  #bytes = Buffer.alloc(0);
  isClosed = false;

  constructor(site: Site) {
    const socket = connect(site.port, "127.0.0.1");
    const ca = readFileSync(site.caPath);
    this.#socket = tls.connect({ socket, servername: HOST, ca, ALPNProtocols: ["h2"] });
    this.#socket.on("data", (data: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, data]);
    });
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.isClosed = true;
    });
    this.#socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    this.send(SETTINGS, 0, 0);
  }

  write(bytes: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  send(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): void {
    this.write(frame(type, flags, stream, payload));
  }

  /** Takes nothing of what comes. */
  pause(): void {
    this.#socket.pause();
  }

  /** Of the frames that have come, for a stream. */
  types(stream: number): number[] {
    const found: number[] = [];
    for (let at = 0; at + 9 <= this.#bytes.length; at += 9 + this.#bytes.readUIntBE(at, 3)) {
      if (this.#bytes.readUInt32BE(at + 5) === stream) found.push(this.#bytes[at + 3] ?? 0);
    }
    return found;
  }

  get text(): string {
    return this.#bytes.toString("latin1");
  }

  /** Until the stream has ended: whether without an answer. */
  async isReset(stream: number): Promise<boolean> {
    const hasEnded = () => this.types(stream).some((type) => type === RST_STREAM || type === DATA);
    await until(() => this.isClosed || hasEnded());
    return !this.types(stream).includes(DATA);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK without indices or Huffman's code; `kind`: 0x40 adds each to the table. */
function block(pairs: Pair[], kind = 0): Buffer {
  const text = (value: string) => {
    const lengths: number[] = [];
    let rest = value.length - 127;
    if (rest >= 0) {
      for (; rest >= 128; rest >>= 7) lengths.push((rest & 127) | 128);
      lengths.push(rest);
    }
    const head = value.length < 127 ? [value.length] : [127, ...lengths];
    return Buffer.concat([Buffer.from(head), Buffer.from(value, "latin1")]);
  };
  return Buffer.concat(
    pairs.flatMap(([name, value]) => [Buffer.from([kind]), text(name), text(value)]),
  );
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let count = 0; !isTrue(); count++) {
    if (count === 6000) throw new Error("it has not happened in a minute");
    await Bun.sleep(10);
  }
}

test("streams that two parsers could read in two ways are refused", async () => {
  await using site = await Site.open();
  const bad: Pair[][] = [
    [...REQUEST, [":authority", "other.test"]],
    [...REQUEST, [":path", "/other"]],
    [...REQUEST, ["host", "other.test"]],
    [...REQUEST, ["host", HOST], ["host", "other.test"]],
    [...FINE, ["host", "other.test"]],
    [...FINE, [":authority", "other.test"]],
    [...FINE, [":authority", `user@${HOST}`]],
    [...FINE, ["x", "y"], [":authority", HOST]],
    [...REQUEST, [":protocol", "websocket"]],
    [[":method", "CONNECT"], [":protocol", "websocket"], ...REQUEST.slice(1)],
    [
      [":method", "CONNECT"],
      [":authority", HOST],
    ],
    [...REQUEST, [":unknown", "x"]],
    [...REQUEST, ["X-Upper", "x"]],
    [...REQUEST, ["x", "a\r\nhost: other.test"]],
    [...REQUEST, ["x", "a\0b"]],
    [...REQUEST, ["transfer-encoding", "chunked"]],
    [...REQUEST, ["connection", "close"]],
    [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/a\r\nb"],
      [":authority", HOST],
    ],
    [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", `https://${HOST}/`],
      [":authority", HOST],
    ],
  ];
  using client = new Raw(site);
  for (const [index, pairs] of bad.entries()) {
    const stream = 2 * index + 1;
    client.send(HEADERS, END_HEADERS | END_STREAM, stream, block(pairs));
    await client.isReset(stream);
    expect([pairs, client.isClosed, site.seen.length]).toEqual([pairs, false, 0]);
  }
  const last = 2 * bad.length + 1;
  client.send(HEADERS, END_HEADERS, last, block([...REQUEST, ["content-length", "5"]]));
  client.send(DATA, END_STREAM, last, Buffer.from("0123456789"));
  await client.isReset(last);
  expect(site.seen).toEqual([]);
});

test("a placeholder in trailers does not leave, and a value in any DATA frame is covered", async () => {
  await using site = await Site.open({
    answer: (_, response) => {
      for (const character of `a ${VALUE} b`) response.write(character);
      response.end();
    },
  });
  using client = new Raw(site);
  const token: Pair = ["authorization", `Bearer ${PLACEHOLDER}`];
  client.send(HEADERS, END_HEADERS | END_STREAM, 1, block([...REQUEST, token]));
  await until(() => client.text.includes(" b"));
  expect(client.text).not.toContain(VALUE);
  client.send(HEADERS, END_HEADERS, 3, block(REQUEST));
  client.send(HEADERS, END_HEADERS | END_STREAM, 3, block([["x-late", PLACEHOLDER]]));
  await until(() => site.decisions.some(({ verdict }) => verdict === "deny"));
  expect(site.received).not.toContain(PLACEHOLDER);
});

test("a header block that does not end, or unpacks to too much, is refused", async () => {
  await using site = await Site.open();
  using endless = new Raw(site);
  endless.send(HEADERS, END_STREAM, 1, block(REQUEST));
  for (let count = 0; count < 5000 && !endless.isClosed; count++) {
    endless.send(CONTINUATION, 0, 1, block([[`x${count}`, "y".repeat(15_000)]]));
    if (count % 20 === 0) await Bun.sleep(1);
  }
  await until(() => endless.isClosed);
  using bomb = new Raw(site);
  const many = Buffer.alloc(8000, 0x80 | 62);
  const big = block([["x-big", "z".repeat(3900)]], 0x40);
  bomb.send(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat([block(REQUEST), big, many]));
  expect(await bomb.isReset(1)).toBe(true);
  expect(site.seen).toEqual([]);
});

test("floods of frames that ask for answers end the connection", async () => {
  await using site = await Site.open();
  const floods: [string, Buffer][] = [
    ["ping", frame(PING, 0, 0, Buffer.alloc(8))],
    ["settings", frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 255, 255]))],
  ];
  for (const [, one] of floods) {
    using client = new Raw(site);
    client.pause();
    const many = Buffer.concat(Array.from({ length: 999 }, () => one));
    for (let count = 0; count < 5000 && !client.isClosed; count++) {
      client.write(many);
      if (count % 10 === 0) await Bun.sleep(1);
    }
    await until(() => client.isClosed);
  }
  using resets = new Raw(site);
  for (let count = 0; count < 20_000 && !resets.isClosed; count++) {
    resets.send(HEADERS, END_HEADERS | END_STREAM, 2 * count + 1, block(REQUEST));
    resets.send(RST_STREAM, 0, 2 * count + 1, CANCEL);
    if (count % 50 === 0) await Bun.sleep(1);
  }
  await until(() => resets.isClosed);
});

test("a connection without a stream is closed, also in the middle of a header block", async () => {
  await using site = await Site.open({ idle_max_ms: 300 });
  using silent = new Raw(site);
  await until(() => silent.isClosed);
  using partial = new Raw(site);
  partial.send(HEADERS, END_STREAM, 1, block(REQUEST));
  await until(() => partial.isClosed);
  using served = new Raw(site);
  served.send(HEADERS, END_HEADERS | END_STREAM, 1, block(REQUEST));
  await until(() => served.isClosed);
});
