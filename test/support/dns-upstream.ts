/**
 * A resolver as a host has one: `bun dns-upstream.ts ADDRESS PORT`. Knows the names of TABLE, and
 * that no others exist; answers that do not fit into a datagram are cut short, and whole over TCP.
 * Prints "ready", then each name that it is asked for.
 */
import { createServer } from "node:net";
import { type Answer, decode, encode, streamEncode, TRUNCATED_RESPONSE } from "dns-packet";

const [address = "", portText = ""] = process.argv.slice(2);
const MAX_DATAGRAM_BYTES = 512;

/** The outside of the lab has these addresses. */
const TABLE: Record<string, Answer[]> = {
  "shop.test": [{ type: "CNAME", name: "shop.test", ttl: 60, data: "cdn.test" }, a("cdn.test", 2)],
  "api.shop.test": [a("api.shop.test", 3)],
  "evil.test": [a("evil.test", 4)],
  "home.test": [{ type: "A", name: "home.test", ttl: 60, data: "127.0.0.1" }],
  "host.test": [a("host.test", 1)],
  "lan.test": [{ type: "A", name: "lan.test", ttl: 60, data: "192.168.77.9" }],
  "cloud.test": [{ type: "A", name: "cloud.test", ttl: 60, data: "169.254.169.254" }],
  "six.test": [{ type: "AAAA", name: "six.test", ttl: 60, data: "2001:db8:ff::2" }],
  "big.test": Array.from({ length: 100 }, (_, index) => a("big.test", index + 1)),
};

function a(name: string, last: number): Answer {
  return { type: "A", name, ttl: 60, data: `198.51.100.${last}` };
}

function replyTo(message: Buffer, stream: boolean): Buffer {
  const { id = 0, questions = [] } = decode(message);
  const name = questions[0]?.name.toLowerCase() ?? "";
  console.log(name);
  const answers = TABLE[name];
  const packet = { type: "response" as const, id, questions, flags: answers ? 0 : 3 };
  if (stream) return streamEncode({ ...packet, answers: answers ?? [] });
  const whole = encode({ ...packet, answers: answers ?? [] });
  if (whole.length <= MAX_DATAGRAM_BYTES) return whole;
  return encode({ ...packet, flags: packet.flags | TRUNCATED_RESPONSE });
}

const port = Number(portText);
await Bun.udpSocket({
  hostname: address,
  port,
  socket: {
    data: (socket, data, fromPort, from) => {
      socket.send(replyTo(Buffer.from(data), false), fromPort, from);
    },
  },
});
createServer((client) => {
  client.on("error", () => {});
  client.once("data", (data: Buffer) => client.end(replyTo(data.subarray(2), true)));
}).listen(port, address, () => console.log("ready"));
