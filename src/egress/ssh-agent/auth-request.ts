/** What a signature is asked for: the request of one user to log in to the server of one connection (RFC 4252). */
import { Malformed, Reader } from "./wire.ts";

const USERAUTH_REQUEST = 50;
const HOST_BOUND = "publickey-hostbound-v00@openssh.com";

export interface AuthRequest {
  sessionId: Buffer;
  user: string;
  /** The key that is to sign. */
  key: Buffer;
  /** Of the server, where the request names it. */
  hostKey?: Buffer;
}

/** Throws `Malformed` for whatever else could be signed. */
export function parseAuthRequest(bytes: Uint8Array): AuthRequest {
  const reader = new Reader(bytes);
  const sessionId = reader.string();
  const isRequest = reader.byte() === USERAUTH_REQUEST;
  const user = reader.string().toString();
  const service = reader.text();
  const method = reader.text();
  const isMethod = method === "publickey" || method === HOST_BOUND;
  if (!isRequest || service !== "ssh-connection" || !isMethod || !reader.bool()) {
    throw new Malformed("not a login");
  }
  reader.string();
  const key = reader.string();
  const hostKey = method === HOST_BOUND ? { hostKey: reader.string() } : {};
  reader.end();
  return { sessionId, user, key, ...hostKey };
}
