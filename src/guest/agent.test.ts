/** The connection to the real agent, which is built with the sanitizers and runs on this computer. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import fc from "fast-check";
import { MiB } from "#base/size.ts";
import { agentFixture, codeOf, processGone } from "#test/guest-fixture.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { connectAgent } from "./agent.ts";
import { FieldWriter } from "./fields.ts";
import { encodeFrame } from "./frame.ts";
import { FLAG_MORE, FrameType, Kind, Tag } from "./protocol.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

const fixture = agentFixture();

test("greets with its version, its features and this boot", () => {
  expect(fixture.agent.hello).toMatchObject({ protocol: 1, version: "sanitized", maxStreams: 64 });
  expect(fixture.agent.hello.features).toContain("exec");
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  expect(fixture.agent.hello.bootId).toBe(bootId);
});

test("64 streams at once, and a clear refusal of one more", async () => {
  const streams = await Promise.all(
    Array.from({ length: 64 }, () => fixture.agent.exec({ argv: ["cat"], stdin: true })),
  );
  expect(await codeOf(fixture.agent.run(["true"]))).toBe("limit_exceeded");
  await Promise.all(streams.map((stream) => stream.closeStdin()));
  for (const stream of streams) expect(await stream.exited).toEqual({ code: 0 });
  expect((await fixture.agent.run(["true"])).status).toEqual({ code: 0 });
});

test("connects to unix sockets and TCP ports, half-closed ones too", async () => {
  const path = join(fixture.folder, "echo.sock");
  for (const place of [{ path }, { port: 0, host: "127.0.0.1" }]) {
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => server.listen(place, resolve));
    const address = server.address();
    const duplex = await fixture.agent.connect(
      typeof address === "object" && address
        ? { kind: "tcp", host: "localhost", port: address.port }
        : { kind: "unix", path },
    );
    const data = crypto.getRandomValues(new Uint8Array(3 * MiB));
    duplex.end(data);
    expect(Buffer.compare(Buffer.concat(await Array.fromAsync(duplex)), data)).toBe(0);
    server.close();
  }
  expect(await codeOf(fixture.agent.connect({ kind: "unix", path: `${path}.no` }))).toBe(
    "not_found",
  );
  expect(await codeOf(fixture.agent.connect({ kind: "tcp", host: "127.0.0.1", port: 1 }))).toBe(
    "unavailable",
  );
  expect(await codeOf(fixture.agent.connect({ kind: "tcp", host: "a name", port: 1 }))).toBe(
    "invalid_argument",
  );
  expect((await fixture.agent.health()).streams).toBe(0);
});

test("an agent that serves no machine turns none off", async () => {
  expect(await codeOf(fixture.agent.shutdown())).toBe("unsupported");
});

test("health tells of this computer", async () => {
  const health = await fixture.agent.health();
  expect(health.memoryTotal_bytes).toBeGreaterThan(64 * MiB);
  expect(health.memoryAvailable_bytes).toBeLessThanOrEqual(health.memoryTotal_bytes);
  const drift_ms = Math.abs(Number(health.time_unix_ns / 1_000_000n) - Date.now());
  expect(drift_ms).toBeLessThan(60_000);
});

test("a new host ends what an old one left, and is understood behind half a frame", async () => {
  const pipe = await fixture.local.connect();
  const second = await connectAgent(pipe);
  await fixture.agent.closed;
  const left = await second.exec({ argv: ["sleep", "60"] });
  pipe.write(
    encodeFrame(FrameType.open, { stream: 99, payload: new Uint8Array(1000) }).subarray(0, 500),
  );
  const third = await connectAgent(unowned(pipe));
  expect((await third.run(["true"])).status).toEqual({ code: 0 });
  await processGone(left.pid);
  third.close();
});

/** The same pipe for another host, with the listeners of the one before taken off. */
function unowned(pipe: Duplex): Duplex {
  pipe.removeAllListeners();
  return pipe;
}

test("noise from the host is passed over, and the next host is served", async () => {
  const pipe = await fixture.local.connect();
  for (let round = 0; round < 50; round++) {
    pipe.write(crypto.getRandomValues(new Uint8Array(5000)));
  }
  const next = await connectAgent(pipe);
  expect((await next.run(["true"])).status).toEqual({ code: 0 });
  next.close();
});

/** Frames that look right, for streams that there may be, with programs that do no harm. */
const frame = fc.record({
  type: fc.constantFrom(...Object.values(FrameType).filter((type) => type !== FrameType.sync), 99),
  flags: fc.constantFrom(0, 1, 2, 3, FLAG_MORE),
  stream: fc.integer({ min: 0, max: 5 }),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.uint8Array({ minLength: 30_000, maxLength: 32_000 }),
    fc.constantFrom(
      ...["true", "cat", "no-such-program"].map((name) => execFields(name).finish()),
      execFields("cat").bytes(Tag.terminal, new Uint8Array(4)).finish(),
      execFields("cat").bytes(Tag.terminal, new Uint8Array(1)).finish(),
      new FieldWriter().number(Tag.signal, 9).finish(),
      new FieldWriter().number(Tag.kind, Kind.connect).text(Tag.path, "/no").finish(),
      new FieldWriter().number(Tag.kind, Kind.health).finish(),
      new Uint8Array(4).fill(0x7f),
    ),
  ),
});

function execFields(program: string): FieldWriter {
  return new FieldWriter()
    .number(Tag.kind, Kind.exec)
    .number(Tag.window, 5000)
    .number(Tag.stdin, 1)
    .text(Tag.argument, program);
}

test("whatever frames a host sends, the agent lives and serves the next one", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 40 }), async (frames) => {
      const pipe = await fixture.local.connect();
      const first = await connectAgent(pipe);
      for (const one of frames) pipe.write(encodeFrame(one.type, one));
      const second = await connectAgent(await fixture.local.connect());
      expect((await second.health()).streams).toBe(0);
      second.close();
      await first.closed;
    }),
    { numRuns: 100 },
  );
});
