/** Datagrams through the real agent, which is built with the sanitizers and runs on this computer. */
import { expect, test } from "bun:test";
import { agentFixture } from "#test/guest-fixture.ts";

const fixture = agentFixture();

/** Sends every datagram back, turned around. */
async function mirror() {
  return await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket, data, port, address) => {
        socket.send(Buffer.from(data).reverse(), port, address);
      },
    },
  });
}

/** Gives the datagrams as they come. */
function inbox() {
  const waiting: Buffer[] = [];
  let wake = Promise.withResolvers<void>();
  return {
    onDatagram: (data: Uint8Array) => {
      waiting.push(Buffer.from(data));
      wake.resolve();
      wake = Promise.withResolvers();
    },
    next: async () => {
      while (waiting.length === 0) await wake.promise;
      return waiting.shift() ?? Buffer.alloc(0);
    },
  };
}

test("datagrams keep their borders, the empty and the largest among them", async () => {
  const server = await mirror();
  const { onDatagram, next } = inbox();
  const target = { host: "127.0.0.1", port: server.port };
  const port = await fixture.agent.datagrams(target, { onDatagram });
  try {
    for (const size of [1, 0, 512, 9000, 65_507]) {
      const sent = Buffer.alloc(size, "abc");
      port.send(sent);
      expect((await next()).equals(Buffer.from(sent).reverse())).toBe(true);
    }
  } finally {
    server.close();
    port.close();
    await port.closed;
  }
});

test("a port where nobody listens stays silent, and answers once somebody does", async () => {
  const first = await mirror();
  const { port } = first;
  first.close();
  const { onDatagram, next } = inbox();
  const datagrams = await fixture.agent.datagrams({ host: "127.0.0.1", port }, { onDatagram });
  datagrams.send(Buffer.from("into the void"));
  datagrams.send(Buffer.from("again"));
  // Whoever takes the port hears what is sent from then on.
  const server = await Bun.udpSocket({
    hostname: "127.0.0.1",
    port,
    socket: { data: (socket, data, from, address) => void socket.send(data, from, address) },
  });
  const again = setInterval(() => datagrams.send(Buffer.from("here")), 20);
  try {
    expect(["into the void", "again", "here"]).toContain((await next()).toString());
  } finally {
    clearInterval(again);
    server.close();
    datagrams.close();
    await datagrams.closed;
  }
});

test("what is no address ends at once", async () => {
  const options = { onDatagram: () => {} };
  const named = await fixture.agent.datagrams({ host: "localhost", port: 53 }, options);
  await named.closed;
});
