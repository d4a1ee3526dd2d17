/** Where a redirected connection was meant to go, from the kernel's connection tracking. */
import { readSocketOption } from "#base/libc.ts";
import { type Address, addressFrom } from "#net/address.ts";

const SOL_IP = 0;
const SOL_IPV6 = 41;
/** Of both families. */
const SO_ORIGINAL_DST = 80;
const MAX_BYTES = 28;

/** Undefined for a connection that nothing has redirected. */
export function originalDestination(
  fd: number,
  family: 4 | 6,
): { address: Address; port: number } | undefined {
  const level = family === 4 ? SOL_IP : SOL_IPV6;
  const found = readSocketOption(fd, { level, option: SO_ORIGINAL_DST, max_bytes: MAX_BYTES });
  return found && parseSocketAddress(Buffer.from(found), family);
}

/** A sockaddr_in or sockaddr_in6. */
export function parseSocketAddress(
  bytes: Buffer,
  family: 4 | 6,
): { address: Address; port: number } | undefined {
  const [from, to] = family === 4 ? [4, 8] : [8, 24];
  if (bytes.length < to) return undefined;
  const value = BigInt(`0x${bytes.subarray(from, to).toString("hex")}`);
  return { address: addressFrom(family, value), port: bytes.readUInt16BE(2) };
}
