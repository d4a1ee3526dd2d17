/** An older side and a newer side do what both know: the real agent with a newer host, the host with an older agent. */

import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import { agentFixture, codeOf } from "#test/guest-fixture.ts";
import { connectAgent } from "./agent.ts";
import { Fields, FieldWriter } from "./fields.ts";
import { encodeFrame, encodeSync, type Frame, FrameParser, HelloHunter } from "./frame.ts";
import { decodeHello } from "./hello.ts";
import { FLAG_MORE, FrameType, Kind, NONCE_BYTES, SYNC_MAGIC, Tag } from "./protocol.ts";

const fixture = agentFixture();
/** No version has these yet. */
const NEW_TYPE = 200;
const NEW_TAG = 9999;
const NEW_KIND = 250;

test("an agent passes over what a newer host says, and does the rest", async () => {
  const pipe = await fixture.local.connect();
  const nonce = randomBytes(NONCE_BYTES);
  const hunter = new HelloHunter(nonce);
  const parser = new FrameParser();
  const frames: Frame[] = [];
  let isInStep = false;
  const closes = Promise.withResolvers<void>();
  pipe.on("data", (chunk: Buffer) => {
    const bytes = isInStep ? chunk : hunter.push(chunk);
    if (!bytes) return;
    isInStep = true;
    parser.push(bytes, (frame) => {
      frames.push({ ...frame, payload: frame.payload.slice() });
      if (frames.filter(({ type }) => type === FrameType.close).length === 3) closes.resolve();
    });
  });
  const send = (type: number, stream: number, payload: Uint8Array, flags = 0): void =>
    void pipe.write(encodeFrame(type, { stream, payload, flags }));
  pipe.write(encodeSync(nonce));
  send(NEW_TYPE, 0, randomBytes(500));
  send(NEW_TYPE, 77, new Uint8Array(0), 0xff);
  const open = new FieldWriter()
    .text(NEW_TAG, "new")
    .number(Tag.kind, Kind.exec)
    .number(Tag.window, 1000)
    .text(Tag.argument, "sh")
    .text(Tag.argument, "-c")
    .text(Tag.argument, "echo known; exit 3")
    .bytes(NEW_TAG + 1, randomBytes(3000));
  const bytes = open.finish();
  send(FrameType.open, 1, bytes.subarray(0, 40), FLAG_MORE);
  send(FrameType.open, 1, bytes.subarray(40));
  send(FrameType.control, 1, new FieldWriter().number(NEW_TAG, 1).finish());
  send(FrameType.open, 3, new FieldWriter().number(Tag.kind, NEW_KIND).finish());
  send(
    FrameType.open,
    5,
    new FieldWriter().number(Tag.kind, Kind.health).text(NEW_TAG, "x").finish(),
  );
  await closes.promise;
  const of = (type: number, stream: number) =>
    frames.find((frame) => frame.type === type && frame.stream === stream)?.payload ??
    new Uint8Array(0);
  expect(Buffer.from(of(FrameType.data, 1)).toString()).toBe("known\n");
  expect(Fields.parse(of(FrameType.close, 1)).number(Tag.exitCode)).toBe(3);
  expect(Fields.parse(of(FrameType.close, 3)).text(Tag.error)).toBe("unsupported");
  expect(Fields.parse(of(FrameType.close, 5)).has(Tag.uptime_ms)).toBe(true);
  expect(decodeHello(of(FrameType.hello, 0)).features).toContain("exec");
  pipe.destroy();
});

test("a host asks an older agent for nothing that it does not have, and says so", async () => {
  const parser = new FrameParser();
  const opened: number[] = [];
  const pipe = new Duplex({
    read() {},
    write(chunk: Uint8Array, _encoding, done) {
      parser.push(chunk, ({ type, stream, payload }) => {
        if (type === FrameType.sync) {
          const nonce = payload.subarray(SYNC_MAGIC.length, SYNC_MAGIC.length + NONCE_BYTES);
          // The first agent there was: no limit of streams is named, and no feature but this.
          const fields = new FieldWriter().number(Tag.protocol, 1).text(Tag.feature, "exec");
          const hello = Uint8Array.from([...nonce, ...fields.finish()]);
          pipe.push(encodeFrame(FrameType.hello, { payload: hello }));
        }
        if (type !== FrameType.open) return;
        opened.push(stream);
        const end = new FieldWriter().number(Tag.exitCode, 0).finish();
        pipe.push(encodeFrame(FrameType.close, { stream, payload: end }));
      });
      done();
    },
  });
  const agent = await connectAgent(pipe);
  expect(await codeOf(agent.files.stat("/"))).toBe("unsupported");
  expect(await codeOf(agent.sessions.list())).toBe("unsupported");
  expect(await codeOf(agent.ports())).toBe("unsupported");
  expect(await codeOf(agent.processes())).toBe("unsupported");
  expect(await codeOf(agent.watch("/").next())).toBe("unsupported");
  expect(opened).toEqual([]);
  expect((await agent.run(["true"])).status).toEqual({ code: 0 });
  agent.close();
});
