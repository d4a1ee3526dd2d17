/**
 * Marks the sockets of the DNS server and of the proxy with SO_MARK, so that the rules of a policy can tell them from
 * other listeners on their addresses. Needs CAP_NET_ADMIN.
 */
import { setSocketOption } from "#base/libc.ts";

/** "bgnr". */
export const OWN_SOCKET_MARK = 0x62_67_6e_72;
const SOL_SOCKET = 1;
const SO_MARK = 36;

/** Without the right it does nothing; then there are no policies to tell either. */
export function markSocket(fd: number): void {
  const value = Buffer.alloc(4);
  value.writeUInt32LE(OWN_SOCKET_MARK);
  setSocketOption(fd, { level: SOL_SOCKET, option: SO_MARK, value });
}
