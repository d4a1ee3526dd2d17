import { expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { parseAddress } from "#net/address.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { PortPublisher, type PortTarget } from "./publisher.ts";
import type { PortRequest } from "./spec.ts";
import { udpFlowOr, udpFlowTo } from "./udp.ts";

const loopback = parseAddress("127.0.0.1");

/** A TCP server in the place of one inside a machine. */
async function serve(onClient: (client: Socket) => void) {
  const clients = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client);
    client.on("error", () => {});
    client.once("close", () => clients.delete(client));
    onClient(client);
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return {
    port: (server.address() as { port: number }).port,
    clients,
    [Symbol.dispose]: () => {
      for (const client of clients) client.destroy();
      server.close();
    },
  };
}

async function dial(port: number): Promise<Duplex> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  socket.once("connect", () => resolve(socket));
  socket.once("error", reject);
  return await promise;
}

const target: PortTarget = { connect: dial, openFlow: udpFlowTo(loopback) };

function tcp(guestPort: number, hostPort = 0): PortRequest {
  return { hostPort, guestPort, protocol: "tcp" };
}

async function onlyPort(publisher: PortPublisher, guestPort: number): Promise<number> {
  const [port] = await publisher.publish("m", [tcp(guestPort)], target);
  return port?.hostPort ?? 0;
}

async function textOf(stream: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test("bytes go both ways, and each direction ends by itself", async () => {
  await using publisher = new PortPublisher();
  using server = await serve((client) => {
    const chunks: Buffer[] = [];
    client.on("data", (chunk: Buffer) => chunks.push(chunk));
    client.on("end", () => client.end(`heard ${Buffer.concat(chunks).toString()}`));
  });
  const client = await dial(await onlyPort(publisher, server.port));
  client.end("hello");
  expect(await textOf(client)).toBe("heard hello");
});

test("what a client sends at once, before the machine answers, arrives", async () => {
  await using publisher = new PortPublisher();
  using server = await serve((client) => client.pipe(client));
  const gate = Promise.withResolvers<void>();
  const [port] = await publisher.publish("m", [tcp(server.port)], {
    ...target,
    connect: async (guestPort) => {
      await gate.promise;
      return await dial(guestPort);
    },
  });
  const client = await dial(port?.hostPort ?? 0);
  const text = "0123456789".repeat(20_000);
  client.end(text);
  gate.resolve();
  expect(await textOf(client)).toBe(text);
});

test("a machine that reads slowly holds the client up instead of filling memory", async () => {
  await using publisher = new PortPublisher();
  const total_bytes = 24 * 1024 * 1024;
  let received_bytes = 0;
  let buffered_bytes = 0;
  const done = Promise.withResolvers<void>();
  const guest: Duplex = new Duplex({
    highWaterMark: 64 * 1024,
    read() {},
    write(chunk: Buffer, _encoding, callback) {
      received_bytes += chunk.length;
      buffered_bytes = Math.max(buffered_bytes, guest.writableLength);
      if (received_bytes === total_bytes) done.resolve();
      setImmediate(callback);
    },
  });
  const [port] = await publisher.publish("m", [tcp(80)], { ...target, connect: async () => guest });
  const client = await dial(port?.hostPort ?? 0);
  client.write(Buffer.alloc(total_bytes));
  await done.promise;
  expect(buffered_bytes).toBeLessThan(2 * 1024 * 1024);
});

test("a client is reset when nobody answers in the machine", async () => {
  await using publisher = new PortPublisher();
  let port = 0;
  {
    using server = await serve(() => {});
    port = server.port;
  }
  const client = await dial(await onlyPort(publisher, port));
  const { promise, resolve } = Promise.withResolvers<void>();
  client.on("error", () => {});
  client.once("close", () => resolve());
  client.resume();
  await promise;
});

test("when one side goes away the other one hears of it", async () => {
  await using publisher = new PortPublisher();
  const arrived = Promise.withResolvers<Socket>();
  using server = await serve((client) => arrived.resolve(client));
  const client = await dial(await onlyPort(publisher, server.port));
  const guest = await arrived.promise;
  guest.resume();
  const ended = new Promise<void>((resolve) => guest.once("close", () => resolve()));
  (client as Socket).resetAndDestroy();
  guest.on("end", () => guest.end());
  await ended;
});

test("publish() brings about what is wanted, and leaves alone what is open already", async () => {
  await using publisher = new PortPublisher();
  using server = await serve((client) => client.pipe(client));
  const [first] = await publisher.publish("m", [tcp(server.port)], target);
  if (!first) throw new Error("no port");
  const client = await dial(first.hostPort);
  const second = await publisher.publish("m", [first, tcp(server.port)], target);
  expect(second).toHaveLength(2);
  expect(second).toContainEqual(first);
  client.end("still here");
  expect(await textOf(client)).toBe("still here");
  expect(await publisher.publish("m", [], target)).toEqual([]);
  expect(await Promise.allSettled([dial(first.hostPort)])).toMatchObject([{ status: "rejected" }]);
});

test("a port that is taken is named, and the others are not opened either", async () => {
  await using publisher = new PortPublisher();
  using taken = await serve(() => {});
  using server = await serve(() => {});
  const [kept] = await publisher.publish("m", [tcp(server.port)], target);
  if (!kept) throw new Error("no port");
  const moved = { ...kept, guestPort: kept.guestPort === 1 ? 2 : 1 };
  const error = await bangerErrorOf(
    publisher.publish("m", [moved, tcp(server.port), tcp(80, taken.port)], target),
  );
  expect(error).toMatchObject({
    code: "conflict",
    message: `Cannot publish 127.0.0.1:${taken.port}/tcp: port already in use`,
  });
  expect(publisher.list("m")).toEqual([kept]);
  (await dial(kept.hostPort)).destroy();
  // Another machine gets the same answer.
  expect(await bangerErrorOf(publisher.publish("n", [kept], target))).toMatchObject({
    code: "conflict",
  });
});

test("close() ends the connections and lets go of the port", async () => {
  const publisher = new PortPublisher();
  const arrived = Promise.withResolvers<void>();
  using server = await serve(() => arrived.resolve());
  const hostPort = await onlyPort(publisher, server.port);
  const client = await dial(hostPort);
  client.on("error", () => {});
  await arrived.promise;
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  client.resume();
  await publisher.close("m");
  await closed;
  expect(publisher.list("m")).toEqual([]);
  const again = await publisher.publish("m", [tcp(server.port, hostPort)], target);
  expect(again).toHaveLength(1);
  await publisher[Symbol.asyncDispose]();
});

test("datagrams find their way back to the client that asked", async () => {
  await using publisher = new PortPublisher();
  const echo = await Bun.udpSocket({
    hostname: "127.0.0.1",
    socket: {
      data: (socket, data, port, address) => {
        socket.send(`echo ${data.toString()}`, port, address);
      },
    },
  });
  const request: PortRequest = { hostPort: 0, guestPort: echo.port, protocol: "udp" };
  const [port] = await publisher.publish("m", [request], target);
  const answers: string[] = [];
  const done = Promise.withResolvers<void>();
  const clients = await Promise.all(
    ["a", "b"].map((name) =>
      Bun.udpSocket({
        connect: { hostname: "127.0.0.1", port: port?.hostPort ?? 0 },
        socket: {
          data: (_socket, data) => {
            answers.push(`${name}: ${data.toString()}`);
            if (answers.length === 2) done.resolve();
          },
        },
      }),
    ),
  );
  for (const [index, client] of clients.entries()) client.send(`from ${index}`);
  await done.promise;
  expect(answers.sort()).toEqual(["a: echo from 0", "b: echo from 1"]);
  for (const client of [...clients, echo]) client.close();
});

test("datagrams of any size go the other way once the first refuses them", async () => {
  await using inside = await echo("127.0.0.1");
  const other = udpFlowTo(parseAddress("127.0.0.1"));
  // Nobody has the port of that number at the other address of loopback.
  const open = udpFlowOr(parseAddress("127.0.0.9"), other);
  const got = Promise.withResolvers<number>();
  const flow = await open(inside.port, (data) => got.resolve(data.length));
  flow.send(Buffer.alloc(60_000));
  expect(await got.promise).toBe(60_000);
  const again = Promise.withResolvers<number>();
  const second = await open(inside.port, (data) => again.resolve(data.length));
  second.send(Buffer.alloc(1));
  expect(await again.promise).toBe(1);
  flow.close();
  second.close();
});

async function echo(hostname: string) {
  const socket = await Bun.udpSocket({
    hostname,
    port: 0,
    socket: { data: (self, data, port, from) => void self.send(data, port, from) },
  });
  return { port: socket.port, [Symbol.asyncDispose]: async () => socket.close() };
}

test("what is no port of this computer is refused", async () => {
  await using publisher = new PortPublisher();
  for (const wrong of [
    [tcp(0)],
    [tcp(65_536)],
    [tcp(1.5)],
    [tcp(80, -1)],
    [tcp(80, 8080), tcp(81, 8080)],
    [{ ...tcp(80), hostAddress: "localhost" }],
  ]) {
    expect(await bangerErrorOf(publisher.publish("m", wrong, target))).toMatchObject({
      code: "invalid_argument",
    });
  }
  const many = Array.from({ length: 65 }, () => tcp(80));
  expect(await bangerErrorOf(publisher.publish("m", many, target))).toMatchObject({
    code: "limit_exceeded",
  });
  const elsewhere = { ...tcp(80), hostAddress: "192.0.2.1" };
  expect(await bangerErrorOf(publisher.publish("m", [elsewhere], target))).toMatchObject({
    code: "invalid_argument",
    message: expect.stringContaining('no address "192.0.2.1"') as never,
  });
});
