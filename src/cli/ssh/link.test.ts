/** A hostile guest behind a connection of `ssh -R`: what it sends is bounded, whatever the client does. */
import { expect, test } from "bun:test";
import { PassThrough } from "node:stream";
import { Link, type ReverseChannel, Type, WINDOW_BYTES } from "./link.ts";

/** Records as they would go to the guest, which takes them only while `takes` is true. */
function fakeGuest(takes = true) {
  const sent: { type: number; length: number }[] = [];
  const writeStdin = (bytes: Uint8Array): Promise<boolean> => {
    const record = Buffer.from(bytes);
    sent.push({ type: record.readUInt8(0), length: record.readUInt16LE(2) });
    return takes ? Promise.resolve(true) : new Promise(() => {});
  };
  return { sent, writeStdin };
}

function channelOf(stream: PassThrough): ReverseChannel {
  return Object.assign(stream, { eof: () => {} });
}

test("data waits in one buffer of the window's size, however small its records are", () => {
  const link = new Link(1, fakeGuest());
  const byte = new Uint8Array(1);
  for (let count = 0; count < WINDOW_BYTES; count++) expect(link.take(Type.data, byte)).toBe(true);
  expect(link.take(Type.data, byte)).toBe(false);
});

test("records that take no credit are violations, or come once", () => {
  const link = (): Link => new Link(1, fakeGuest());
  expect(link().take(Type.data, new Uint8Array(0))).toBe(false);
  expect(link().take(Type.credit, new Uint8Array(3))).toBe(false);
  const ended = link();
  expect(ended.take(Type.eof, new Uint8Array(0))).toBe(true);
  expect(ended.take(Type.eof, new Uint8Array(0))).toBe(false);
  expect(ended.take(Type.data, new Uint8Array(1))).toBe(false);
  const rich = link();
  const grant = Uint8Array.of(255, 255, 255, 255);
  expect(rich.take(Type.credit, grant)).toBe(false);
});

test("a guest that takes no records gets one grant at a time, and stalls itself", async () => {
  const guest = fakeGuest(false);
  const link = new Link(1, guest);
  const channel = new PassThrough();
  channel.resume();
  link.join(channelOf(channel));
  let taken = 0;
  while (link.take(Type.data, new Uint8Array(1000))) {
    taken += 1000;
    await Bun.sleep(0);
  }
  expect(taken).toBeLessThanOrEqual(2 * WINDOW_BYTES);
  expect(guest.sent.filter(({ type }) => type === Type.credit).length).toBe(1);
});

test("a connection is over for the listener when its channel is, not when the guest says so", async () => {
  const link = new Link(1, fakeGuest());
  let isClosed = false;
  void link.closed.then(() => {
    isClosed = true;
  });
  link.take(Type.data, new Uint8Array(WINDOW_BYTES));
  link.take(Type.close, new Uint8Array(0));
  await Bun.sleep(0);
  expect(isClosed).toBe(false);
  const channel = new PassThrough();
  let received = 0;
  channel.on("data", (bytes: Uint8Array) => {
    received += bytes.length;
  });
  link.join(channelOf(channel));
  await link.closed;
  expect(received).toBe(WINDOW_BYTES);
});
