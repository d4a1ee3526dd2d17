/** The agent's listening program under the sanitizers: an echo through it, and a host that sends nonsense. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { agentFixture, codeOf } from "#test/guest-fixture.ts";
import type { ExecStream } from "./exec.ts";
import { Fields } from "./fields.ts";
import { AGENT_PATH, Tag, ListenRecord as Type } from "./protocol.ts";

const fixture = agentFixture();

interface Incoming {
  type: number;
  id: number;
  payload: Buffer;
}

function record(type: number, id: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = Buffer.alloc(8 + payload.length);
  bytes.writeUInt8(type, 0);
  bytes.writeUInt16LE(payload.length, 2);
  bytes.writeUInt32LE(id, 4);
  bytes.set(payload, 8);
  return bytes;
}

/** Starts it; gives the port once it listens, and calls with every record that follows. */
async function listen(onRecord: (stream: ExecStream, incoming: Incoming) => void) {
  const argv = [AGENT_PATH, "listen", "tcp", "127.0.0.1", "0"];
  const stream = await fixture.agent.exec({ argv, stdin: true });
  const ready = Promise.withResolvers<number>();
  let kept = Buffer.alloc(0);
  stream.onStdout((chunk) => {
    stream.grant(chunk.length);
    kept = Buffer.concat([kept, chunk]);
    while (kept.length >= 8 && kept.length >= 8 + kept.readUInt16LE(2)) {
      const end = 8 + kept.readUInt16LE(2);
      const one = {
        type: kept.readUInt8(0),
        id: kept.readUInt32LE(4),
        payload: kept.subarray(8, end),
      };
      kept = kept.subarray(end);
      if (one.type === Type.ready) ready.resolve(Fields.parse(one.payload).number(Tag.port) ?? 0);
      else onRecord(stream, one);
    }
  });
  return { stream, port: await ready.promise };
}

/** Sends, ends its direction, and gives what came back until the other end closed. */
async function exchange(port: number, bytes: Uint8Array): Promise<Buffer> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(bytes);
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(Buffer.from(part as Uint8Array));
  return Buffer.concat(parts);
}

test("connections come out one beside the other, whole and with their ends", async () => {
  const { stream, port } = await listen((out, { type, id, payload }) => {
    if (type !== Type.data && type !== Type.eof) return;
    void out.writeStdin(record(type, id, Uint8Array.from(payload)));
    const credit = Buffer.alloc(4);
    credit.writeUInt32LE(payload.length);
    if (type === Type.data) void out.writeStdin(record(Type.credit, id, credit));
  });
  const sent = [1, 2, 3].map(() => crypto.getRandomValues(new Uint8Array(60_000)));
  const received = await Promise.all(sent.map((bytes) => exchange(port, bytes)));
  for (const [index, bytes] of sent.entries()) {
    expect(Buffer.compare(received[index] ?? Buffer.alloc(0), bytes)).toBe(0);
  }
  await stream.closeStdin();
  expect(await stream.exited).toEqual({ code: 0 });
});

test("nonsense of the host ends the program or is passed over", async () => {
  for (let round = 0; round < 30; round++) {
    const { stream, port } = await listen((out, { type, id }) => {
      if (type !== Type.open) return;
      for (let count = 0; count < 5; count++) {
        const length = Math.floor(Math.random() * 40_000);
        const kind = 1 + Math.floor(Math.random() * 7);
        void out.writeStdin(record(kind, Math.random() < 0.8 ? id : 99, new Uint8Array(length)));
      }
      void out.closeStdin();
    });
    await exchange(port, new Uint8Array(1000)).catch(() => {});
    expect(await codeOf(stream.exited)).toBe("no error");
  }
});

test("a place that is taken or does not exist is an error", async () => {
  const { stream, port } = await listen(() => {});
  for (const words of [
    ["tcp", "127.0.0.1", String(port)],
    ["tcp", "no address", "0"],
    ["unix", "/no/such/folder/socket", ""],
    ["what", "", ""],
  ]) {
    const result = await fixture.agent.run([AGENT_PATH, "listen", ...words], { input: "" });
    expect(result.status).toEqual({ code: 1 });
    expect(Fields.parse(result.stderr).text(Tag.error)).toBeDefined();
  }
  stream.close();
});
