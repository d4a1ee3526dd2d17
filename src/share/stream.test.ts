/** Bytes become whole messages, however they are cut; what is none ends the stream, and a slow reader stops it. */
import { expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { errorOf } from "#test/expect-error.ts";
import { Messages, serveStream } from "./stream.ts";
import { MESSAGE_MAX_BYTES } from "./wire.ts";

function message(length: number, fill: number): Buffer {
  const bytes = Buffer.alloc(length, fill);
  bytes.writeUInt32LE(length, 0);
  return bytes;
}

test("messages are cut out of any pieces", () => {
  const all = [message(40, 1), message(5000, 2), message(41, 3), message(MESSAGE_MAX_BYTES, 4)];
  const bytes = Buffer.concat(all);
  for (const size of [1000, 4096, 65_536, bytes.length, 3]) {
    const messages = new Messages();
    const found: Buffer[] = [];
    const end = size === 3 ? 5081 : bytes.length;
    for (let at = 0; at < end; at += size) {
      messages.push(bytes.subarray(at, Math.min(end, at + size)));
      for (let next = messages.next(); next; next = messages.next()) found.push(next);
    }
    expect(found.length).toBe(size === 3 ? 3 : 4);
    for (const [index, each] of found.entries()) expect(each.equals(all[index] ?? each)).toBe(true);
  }
});

test("a length that no message has is an error, before more is kept", () => {
  for (const length of [0, 4, 39, MESSAGE_MAX_BYTES + 1, 0xffff_ffff]) {
    const messages = new Messages();
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(length, 0);
    messages.push(bytes);
    expect(errorOf(() => messages.next()).message).toBe(
      `the machine sent a message of ${length} bytes`,
    );
  }
});

/** Takes answers until it is full. */
class SlowSocket extends EventEmitter {
  readonly written: Buffer[] = [];
  isPaused = false;
  isDestroyed = false;
  room = 2;

  write(bytes: Buffer): boolean {
    this.written.push(bytes);
    this.room--;
    return this.room > 0;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

test("nothing is answered that nobody takes", () => {
  const socket = new SlowSocket();
  const faults: unknown[] = [];
  serveStream(
    socket as unknown as Socket,
    (each) => each.subarray(0, 8),
    (error) => faults.push(error),
  );
  socket.emit("data", Buffer.concat(Array.from({ length: 5 }, (_, fill) => message(40, fill))));
  expect([socket.written.length, socket.isPaused]).toEqual([2, true]);
  socket.room = 100;
  socket.emit("drain");
  expect([socket.written.length, socket.isPaused]).toEqual([5, false]);
  socket.emit("data", Buffer.alloc(100));
  expect([faults.length, socket.isDestroyed]).toEqual([1, true]);
});
