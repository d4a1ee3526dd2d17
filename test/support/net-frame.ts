/**
 * A guest that makes its frames itself: `bun net-frame.ts FRAME-AS-JSON...` sends each of them on eth0, a datagram over
 * IPv4 with the VLAN tags that it names.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";

export interface Frame {
  /** Hardware addresses; the source is eth0's own unless it says another. */
  to: string;
  from?: string;
  source: string;
  target: string;
  port: number;
  vlans?: number[];
}

const AF_PACKET = 17;
const SOCK_RAW = 3;
const [TYPE_IPV4, TYPE_VLAN] = [0x0800, 0x8100];
const UDP = 17;

const libc = dlopen("libc.so.6", {
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  sendto: {
    args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i64,
  },
}).symbols;

const own = readFileSync("/sys/class/net/eth0/address", "utf8").trim();
const fd = libc.socket(AF_PACKET, SOCK_RAW, 0);
for (const text of process.argv.slice(2)) {
  const bytes = frameBytes(JSON.parse(text) as Frame);
  if (Number(libc.sendto(fd, ptr(bytes), bytes.length, 0, ptr(device()), 20)) !== bytes.length) {
    throw new Error("cannot send");
  }
}

/** struct sockaddr_ll. */
function device(): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16LE(AF_PACKET, 0);
  bytes.writeInt32LE(Number(readFileSync("/sys/class/net/eth0/ifindex", "utf8")), 4);
  return bytes;
}

function frameBytes({ to, from = own, source, target, port, vlans = [] }: Frame): Buffer {
  const tags = vlans.map((id) => Buffer.concat([word(TYPE_VLAN), word(id)]));
  const type = word(TYPE_IPV4);
  const datagram = Buffer.concat([
    word(4000),
    word(port),
    word(8 + 5),
    word(0),
    Buffer.from("hello"),
  ]);
  const packet = Buffer.concat([header({ source, target }, datagram.length), datagram]);
  return Buffer.concat([mac(to), mac(from), ...tags, type, packet]);
}

function header({ source, target }: { source: string; target: string }, length: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.set([0x45, 0], 0);
  bytes.writeUInt16BE(bytes.length + length, 2);
  bytes.set([64, UDP], 8);
  bytes.set(source.split(".").map(Number), 12);
  bytes.set(target.split(".").map(Number), 16);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 10);
  return bytes;
}

function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
