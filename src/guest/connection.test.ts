/** A hostile guest, played on the other end of a pipe: the connection ends with an error, and nothing else happens. */

import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { Duplex } from "node:stream";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { type Agent, connectAgent } from "./agent.ts";
import { FieldWriter } from "./fields.ts";
import { encodeFrame, type Frame, FrameParser } from "./frame.ts";
import { CHANNEL_IN, CHANNEL_OUT, FrameType, NONCE_BYTES, SYNC_MAGIC, Tag } from "./protocol.ts";

/** The guest's end. */
class HostileGuest {
  readonly pipe: Duplex;
  readonly frames: Frame[] = [];
  isDone = false;
  readonly #parser = new FrameParser();
  readonly #onFrame: (guest: HostileGuest, frame: Frame) => void;

  constructor(onFrame: (guest: HostileGuest, frame: Frame) => void) {
    this.#onFrame = onFrame;
    this.pipe = new Duplex({
      read() {},
      write: (chunk: Uint8Array, _encoding, done) => {
        this.#parser.push(chunk, (frame) => {
          const kept = { ...frame, payload: frame.payload.slice() };
          this.frames.push(kept);
          this.#onFrame(this, kept);
        });
        done();
      },
    });
  }

  send(type: number, options: Parameters<typeof encodeFrame>[1] = {}): void {
    this.pipe.push(encodeFrame(type, options));
  }

  sendRaw(bytes: Uint8Array): void {
    this.pipe.push(bytes);
  }

  hello(
    sync: Frame,
    fields = new FieldWriter().number(Tag.protocol, 1).number(Tag.maxStreams, 8),
  ): void {
    const nonce = sync.payload.subarray(SYNC_MAGIC.length, SYNC_MAGIC.length + NONCE_BYTES);
    this.send(FrameType.hello, { payload: Uint8Array.from([...nonce, ...fields.finish()]) });
  }
}

/** Answers sync, and opens with `onOpen`. */
async function connected(
  onOpen: (guest: HostileGuest, stream: number) => void,
): Promise<{ guest: HostileGuest; agent: Agent }> {
  const guest = new HostileGuest((self, frame) => {
    if (frame.type === FrameType.sync) self.hello(frame);
    if (frame.type === FrameType.open) onOpen(self, frame.stream);
  });
  return { guest, agent: await connectAgent(guest.pipe) };
}

async function errorOf(promise: Promise<unknown>): Promise<BangerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof BangerError) return error;
  throw new Error(`No BangerError: ${error}`);
}

const opened = new FieldWriter().number(Tag.window, 1000).finish();

test("an answer that came in two pieces stays what it was when a part of the next frame follows it", async () => {
  const { agent } = await connected((guest, stream) => {
    const fields = new FieldWriter().number(Tag.window, 1000).number(Tag.pid, 77).finish();
    const answer = encodeFrame(FrameType.opened, { stream, payload: fields });
    const flags = CHANNEL_OUT;
    const output = encodeFrame(FrameType.data, { stream, flags, payload: Buffer.alloc(60, 255) });
    const bytes = Buffer.concat([answer, output]);
    const [first, second] = [answer.length - 4, bytes.length - 4];
    guest.sendRaw(bytes.subarray(0, first));
    guest.sendRaw(bytes.subarray(first, second));
    guest.sendRaw(bytes.subarray(second));
  });
  expect((await agent.exec({ argv: ["true"] })).pid).toBe(77);
  agent.close();
});

const violations: { name: string; attack: (guest: HostileGuest, stream: number) => void }[] = [
  {
    name: "more data than was granted",
    attack: (guest, stream) => {
      guest.send(FrameType.opened, { stream, payload: opened });
      const payload = new Uint8Array(30_000);
      for (let sent = 0; sent < 3_000_000; sent += payload.length) {
        guest.send(FrameType.data, { stream, flags: CHANNEL_OUT, payload });
      }
    },
  },
  {
    name: "data of a stream that does not exist",
    attack: (guest) => guest.send(FrameType.data, { stream: 77, payload: new Uint8Array(1) }),
  },
  {
    name: "a stream that is closed twice",
    attack: (guest, stream) => {
      guest.send(FrameType.close, { stream });
      guest.send(FrameType.close, { stream });
    },
  },
  {
    name: "a stream that is opened twice",
    attack: (guest, stream) => {
      guest.send(FrameType.opened, { stream, payload: opened });
      guest.send(FrameType.opened, { stream, payload: opened });
    },
  },
  {
    name: "credit beyond all bounds",
    attack: (guest, stream) => {
      const payload = new Uint8Array(4).fill(0xff);
      guest.send(FrameType.credit, { stream, payload });
      guest.send(FrameType.credit, { stream, payload });
    },
  },
  {
    name: "a grant that is cut",
    attack: (guest, stream) => guest.send(FrameType.credit, { stream, payload: new Uint8Array(2) }),
  },
  {
    name: "fields that are malformed",
    attack: (guest, stream) => guest.send(FrameType.close, { stream, payload: new Uint8Array(3) }),
  },
  {
    name: "a frame that is too long",
    attack: (guest) => guest.sendRaw(Uint8Array.from([18, 0, 255, 255, 1, 0, 0, 0])),
  },
  {
    name: "empty frames without end",
    attack: (guest, stream) => {
      for (let count = 0; count < 10_000; count++)
        guest.send(FrameType.data, { stream, flags: CHANNEL_OUT });
    },
  },
];

for (const { name, attack } of violations) {
  test(`${name}: the connection ends with a guest error`, async () => {
    const { agent } = await connected(attack);
    const error = await errorOf(
      agent.run(["true"]).then(() => agent.closed.then(() => Promise.reject(agent.failure))),
    );
    await agent.closed;
    expect(agent.failure?.code).toBe("guest");
    expect(error.code).toBe("guest");
    expect(await errorOf(agent.health())).toBe(agent.failure as BangerError);
  });
}

test("a guest that starts anew ends the connection, and everything that waits for it", async () => {
  const { agent } = await connected((guest, stream) => {
    guest.send(FrameType.opened, { stream, payload: opened });
    setTimeout(() => guest.send(FrameType.beacon), 5);
  });
  const stream = await agent.exec({ argv: ["cat"], stdin: true });
  const writing = stream.writeStdin(new Uint8Array(100_000));
  expect((await errorOf(stream.exited)).code).toBe("unavailable");
  await writing;
  await agent.closed;
});

test("stale bytes before the hello, and hellos to others, are passed over", async () => {
  const guest = new HostileGuest((self, frame) => {
    if (frame.type !== FrameType.sync) return;
    self.sendRaw(crypto.getRandomValues(new Uint8Array(10_000)));
    self.send(FrameType.hello, { payload: new Uint8Array(NONCE_BYTES) });
    self.sendRaw(
      encodeFrame(FrameType.data, { stream: 5, payload: new Uint8Array(100) }).subarray(0, 50),
    );
    self.hello(frame);
  });
  const agent = await connectAgent(guest.pipe);
  expect(agent.hello).toEqual({
    protocol: 1,
    version: "unknown",
    bootId: "",
    mode: "direct",
    features: [],
    maxStreams: 8,
    isTemplate: false,
  });
  agent.close();
});

test("a newer agent's unknown frames, fields, phases and errors do no harm", async () => {
  const { guest, agent } = await connected((self, stream) => {
    self.send(200, { stream: 999, payload: new Uint8Array(10) });
    const fields = new FieldWriter()
      .text(9999, "new")
      .text(Tag.error, "brand_new")
      .text(Tag.message, "why");
    self.send(FrameType.close, { stream, payload: fields.finish() });
  });
  const phases: string[] = [];
  agent.onEvent((event) => phases.push(event.phase));
  guest.send(FrameType.event, {
    payload: new FieldWriter().text(Tag.phase, "levitating").finish(),
  });
  guest.send(FrameType.event, { payload: new FieldWriter().text(Tag.phase, "ready").finish() });
  await agent.waitReady();
  expect(phases).toEqual(["ready"]);
  const error = await errorOf(agent.health());
  expect([error.code, error.message]).toEqual(["guest", "why"]);
  agent.close();
});

test("a first boot that failed is told with its log", async () => {
  const { guest, agent } = await connected(() => {});
  const fields = new FieldWriter().text(Tag.phase, "failed").text(Tag.text, "no route\nat all");
  guest.send(FrameType.event, { payload: fields.finish() });
  const error = await errorOf(agent.waitReady());
  expect([error.code, error.message]).toEqual(["guest", "first boot failed: no route\nat all"]);
  agent.close();
});

test("no answer is a timeout or a cancellation, and the pipe is gone", async () => {
  const silent = new HostileGuest(() => {});
  expect((await errorOf(connectAgent(silent.pipe, { timeout_ms: 5 }))).code).toBe("timeout");
  expect(silent.pipe.destroyed).toBe(true);
  const other = new HostileGuest(() => {});
  const abort = new AbortController();
  const connecting = connectAgent(other.pipe, { signal: abort.signal });
  abort.abort();
  expect((await errorOf(connecting)).code).toBe("cancelled");
  expect(other.pipe.destroyed).toBe(true);
});

test("a guest that refuses input frees those who write", async () => {
  const { agent } = await connected((guest, stream) => {
    guest.send(FrameType.opened, { stream, payload: opened });
    guest.send(FrameType.eof, { stream, flags: CHANNEL_IN });
  });
  const stream = await agent.exec({ argv: ["cat"], stdin: true });
  await stream.writeStdin(new Uint8Array(100_000));
  await stream.closeStdin();
  agent.close();
});

/** Frames that look right, in any order, with numbers near those that are in use. */
const hostileFrame = fc.record({
  type: fc.constantFrom(...Object.values(FrameType), 99),
  flags: fc.integer({ min: 0, max: 255 }),
  stream: fc.integer({ min: 0, max: 6 }),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constant(opened),
    fc.constant(new FieldWriter().number(Tag.exitCode, 1).finish()),
  ),
});

test("whatever a guest sends, the host ends with a result or a BangerError", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(hostileFrame, fc.uint8Array({ maxLength: 30 })), { maxLength: 30 }),
      async (list) => {
        const { guest, agent } = await connected(() => {});
        const running = [
          agent.run(["a"]),
          agent.connect({ kind: "unix", path: "/a" }),
          agent.health(),
        ];
        const outcomes = running.map((promise) =>
          promise.then(
            () => true,
            (error: unknown) => error instanceof BangerError,
          ),
        );
        for (const one of list) {
          if (one instanceof Uint8Array) guest.sendRaw(one);
          else guest.send(one.type, one);
        }
        setTimeout(() => agent.close(), 1);
        expect(await Promise.all(outcomes)).toEqual([true, true, true]);
        await agent.closed;
      },
    ),
    { numRuns: 200 },
  );
});

test("events without end, which take no credit, end the connection", async () => {
  const { guest, agent } = await connected(() => {});
  const line = new FieldWriter().text(Tag.text, "x".repeat(1000)).finish();
  // What an installation prints.
  for (let count = 0; count < 2000; count++) guest.send(FrameType.event, { payload: line });
  await Bun.sleep(0);
  expect(agent.failure).toBeUndefined();
  for (let count = 0; count < 100_000 && !agent.failure; count++) {
    guest.send(FrameType.event, { payload: line });
    if (count % 100 === 0) await Bun.sleep(0);
  }
  expect(agent.failure?.message).toContain("too many events");
});

/** Opens a program and sends `count` bytes of its output, each in a frame of its own. */
function inSingleBytes(count: number): HostileGuest {
  return new HostileGuest((guest, frame) => {
    if (frame.type === FrameType.sync) {
      const fields = new FieldWriter().number(Tag.protocol, 1).number(Tag.maxStreams, 8);
      guest.hello(frame, fields.text(Tag.feature, "files"));
    }
    if (frame.type !== FrameType.open) return;
    const { stream } = frame;
    guest.send(FrameType.opened, { stream, payload: opened });
    const one = encodeFrame(FrameType.data, {
      stream,
      flags: CHANNEL_OUT,
      payload: new Uint8Array(1),
    });
    // The program's reader is there by then.
    setImmediate(() => {
      for (let sent = 0; sent < count; sent += 1000) {
        guest.sendRaw(Buffer.concat(Array<Uint8Array>(1000).fill(one)));
      }
      guest.isDone = true;
    });
  });
}

test("output in pieces of one byte takes no more memory than in large ones", async () => {
  const count = 400_000;
  const guest = inSingleBytes(count);
  const agent = await connectAgent(guest.pipe);
  const output = await agent.files.readStream("/x");
  while (!guest.isDone || guest.pipe.readableLength > 0) await Bun.sleep(1);
  Bun.gc(true);
  expect(heapStats().objectTypeCounts["Uint8Array"] ?? 0).toBeLessThan(count / 2);
  let size = 0;
  for await (const chunk of output) {
    size += (chunk as Uint8Array).length;
    if (size === count) break;
  }
  expect(size).toBe(count);
  guest.isDone = false;
  const read = agent.files.readFile("/x", { max_bytes: count });
  read.catch(() => {});
  while (!guest.isDone || guest.pipe.readableLength > 0) await Bun.sleep(1);
  Bun.gc(true);
  expect(heapStats().objectTypeCounts["Uint8Array"] ?? 0).toBeLessThan(count / 2);
  agent.close();
});
