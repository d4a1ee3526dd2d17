import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { bangerErrorOf } from "#test/expect-error.ts";
import { connectGuest, listenToGuest } from "./vsock.ts";

let folder = "";
let path = "";
let server: Server | undefined;
const open = new Set<Socket>();

beforeEach(() => {
  folder = mkdtempSync("/tmp/banger-vsock-");
  path = join(folder, "v.sock");
});
afterEach(async () => {
  for (const socket of open) socket.destroy();
  open.clear();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** Firecracker's side of the socket. */
async function serve(answer: (socket: Socket, request: string) => void): Promise<void> {
  server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.once("data", (data) => answer(socket, String(data)));
  });
  await new Promise<void>((resolve) => server?.listen(path, resolve));
}

test.each([
  ["in one piece", ["OK 1073741824\nabc"]],
  ["byte by byte", [..."OK 7\nabc"]],
  ["with the stream's beginning apart", ["OK 4294967295\n", "a", "bc"]],
])("the stream begins after the answer line, %s", async (_, pieces) => {
  let request = "";
  await serve((socket, got) => {
    request = got;
    for (const [index, piece] of pieces.entries()) setTimeout(() => socket.write(piece), index * 2);
    setTimeout(() => socket.end(), pieces.length * 2);
  });
  const stream = await connectGuest(path, 1024);
  expect(await text(stream)).toBe("abc");
  expect(request).toBe("CONNECT 1024\n");
});

test("the stream flows for a listener that comes later", async () => {
  await serve((socket) => {
    socket.write("OK 5\nfirst");
    socket.on("data", (data) => socket.write(`echo ${data}`));
  });
  const stream = await connectGuest(path, 1024);
  await Bun.sleep(20);
  let heard = "";
  const complete = new Promise<void>((resolve) => {
    stream.on("data", (data) => {
      heard += String(data);
      if (heard.endsWith("second")) resolve();
    });
  });
  stream.write("second");
  await complete;
  expect(heard).toBe("firstecho second");
  stream.destroy();
});

test.each([
  ["another answer", "ERR 1\n", "integrity"],
  ["a number that is none", "OK x\n", "integrity"],
  ["a line without end", "x".repeat(1000), "integrity"],
  ["a long line", `OK ${"1".repeat(100)}\n`, "integrity"],
])("refuses %s", async (_, answer, code) => {
  await serve((socket) => socket.write(answer));
  expect((await bangerErrorOf(connectGuest(path, 1))).code).toBe(code as never);
});

test("tells nobody listening, no socket, no answer and a cancelled wait apart", async () => {
  expect((await bangerErrorOf(connectGuest(path, 1))).code).toBe("unavailable");
  let hangs = false;
  await serve((socket) => !hangs && socket.destroy());
  expect((await bangerErrorOf(connectGuest(path, 1))).code).toBe("unavailable");
  hangs = true;
  expect((await bangerErrorOf(connectGuest(path, 1, { timeout_ms: 30 }))).code).toBe("timeout");
  const signal = AbortSignal.timeout(30);
  expect((await bangerErrorOf(connectGuest(path, 1, { signal }))).code).toBe("cancelled");
  const aborted = AbortSignal.abort();
  expect((await bangerErrorOf(connectGuest(path, 1, { signal: aborted }))).code).toBe("cancelled");
});

test("a listener for the guest takes its socket away when it closes", async () => {
  const heard = Promise.withResolvers<string>();
  const listener = await listenToGuest(path, 99, (socket) => {
    socket.on("data", (data) => heard.resolve(String(data)));
  });
  const guest = await Bun.connect({ unix: `${path}_99`, socket: { data() {} } });
  guest.write("ping");
  expect(await heard.promise).toBe("ping");
  await listener.close();
  expect(existsSync(`${path}_99`)).toBe(false);
});
