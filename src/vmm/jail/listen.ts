/** Unix sockets that are bound here, for a process that may not make files. */
import { BangerError } from "#base/error.ts";
import { listenAtUnixAddress } from "#base/libc.ts";

const AF_UNIX = 1;
/** One connection at a time, and one that waits. */
const BACKLOG = 1;

/** A descriptor that the caller closes. The socket is for this user alone. */
export function listenAt(path: string): number {
  // Two bytes of family, then the path.
  const address = Buffer.concat([Uint16Array.of(AF_UNIX), Buffer.from(`${path}\0`)].map(bytesOf));
  const umask = process.umask(0o077);
  try {
    const fd = listenAtUnixAddress(address, BACKLOG);
    if (fd !== undefined) return fd;
    throw new BangerError("unavailable", `Cannot create the socket "${path}"`);
  } finally {
    process.umask(umask);
  }
}

function bytesOf(part: Uint8Array | Uint16Array): Uint8Array {
  return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
}
