/**
 * A program that stands in for a VMM and its guest: `bun tap-cable.ts TAP NETNS MAC [UID [DELAY_MS]]` opens
 * TAP as a VMM does, as the user UID where one is given, makes the device eth0 in the network namespace NETNS, and carries
 * frames between the two, each DELAY_MS late. Prints "ready" and runs until it is killed. With "offload" in place of
 * DELAY_MS frames are large and without checksums, as between QEMU and a guest with virtio-net.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { openSync, readSync, writeSync } from "node:fs";

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 2;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUNSETOFFLOAD = 0x400454d0;
/** Checksums and segments of TCP over IPv4 and IPv6. */
const OFFLOADED = 0x07;
const CLONE_NEWNET = 0x40000000;
const POLLIN = 1;
const MAX_FRAME_BYTES = 65_536 + 256;

const libc = dlopen("libc.so.6", {
  ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.u64], returns: FFIType.i32 },
  setns: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  poll: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
}).symbols;

interface Frame {
  readonly to: number;
  readonly bytes: Uint8Array;
  readonly due_ms: number;
}

const [tap = "", netns = "", mac = "", uid = "", delay = "0"] = process.argv.slice(2);
const isOffloaded = delay === "offload";
const delay_ms = isOffloaded ? 0 : Number(delay);
// The effective user is what the kernel looks at, and with it the capabilities go.
if (uid !== "") process.seteuid?.(Number(uid));
const outer = openTap(tap);
if (uid !== "") process.seteuid?.(0);
if (libc.setns(openSync(netns, "r"), CLONE_NEWNET) !== 0) throw new Error(`cannot enter ${netns}`);
const inner = openTap("eth0");
const up = Bun.spawnSync(["ip", "link", "set", "dev", "eth0", "address", mac, "up"]);
if (up.exitCode !== 0) throw new Error(up.stderr.toString());
process.stdout.write("ready\n");
const underway: Frame[] = [];
const buffer = Buffer.alloc(MAX_FRAME_BYTES);
for (;;) carry();

/** struct ifreq of net/if.h: 16 bytes of name, then the flags. */
function openTap(name: string): number {
  const fd = openSync("/dev/net/tun", "r+");
  const request = Buffer.alloc(40);
  request.write(name, 0, "latin1");
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | (isOffloaded ? IFF_VNET_HDR : 0), 16);
  if (libc.ioctl(fd, TUNSETIFF, Number(ptr(request))) !== 0)
    throw new Error(`cannot open tap "${name}"`);
  if (isOffloaded && libc.ioctl(fd, TUNSETOFFLOAD, OFFLOADED) !== 0) throw new Error("no offload");
  return fd;
}

/** Waits for a frame on either side, or for one that is due on the other. */
function carry(): void {
  const pairs = [outer, inner];
  const waiting = Buffer.alloc(16);
  for (const [index, fd] of pairs.entries()) {
    waiting.writeInt32LE(fd, index * 8);
    waiting.writeInt16LE(POLLIN, index * 8 + 4);
  }
  const next = underway[0];
  const wait_ms = next ? Math.max(0, Math.ceil(next.due_ms - performance.now())) : -1;
  libc.poll(ptr(waiting), 2, wait_ms);
  for (const [index, fd] of pairs.entries()) {
    if ((waiting.readInt16LE(index * 8 + 6) & POLLIN) === 0) continue;
    const bytes = buffer.subarray(0, readSync(fd, buffer));
    const to = pairs[1 - index] ?? outer;
    if (delay_ms === 0) send(to, bytes);
    else underway.push({ to, bytes: Buffer.from(bytes), due_ms: performance.now() + delay_ms });
  }
  for (;;) {
    const frame = underway[0];
    if (!frame || frame.due_ms > performance.now()) return;
    underway.shift();
    send(frame.to, frame.bytes);
  }
}

function send(to: number, bytes: Uint8Array): void {
  try {
    writeSync(to, bytes);
  } catch {
    // The other side is not up: the frame is lost, as on a real wire.
  }
}
