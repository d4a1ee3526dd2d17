/** Forwards TCP connections from a host port to a machine. */
import { createServer, type Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { listenError } from "./failure.ts";
import { joinStreams } from "./join.ts";
import type { PublishedPort } from "./spec.ts";

/** More clients than this wait in the kernel's queue, or are turned away. */
const MAX_CONNECTIONS = 512;
const DIAL_TIMEOUT_MS = 30_000;

/** Opens a stream to a TCP port inside the machine. Its ends are half-closed one by one. */
export type Dial = (guestPort: number, signal: AbortSignal) => Promise<Duplex>;

export interface OpenPort {
  readonly port: PublishedPort;
  /** Ends the connections too. */
  close(): Promise<void>;
}

/** `hostPort` of the result is the one that was taken. Errors as in `listenError`. */
export async function openTcpPort(port: PublishedPort, dial: Dial): Promise<OpenPort> {
  const closing = new AbortController();
  const open = new Set<Duplex>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    void carry(client, { port, dial, closing: closing.signal, open });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, port);
  const address = server.address();
  const hostPort = typeof address === "object" && address ? address.port : port.hostPort;
  return {
    port: { ...port, hostPort },
    close: async () => {
      closing.abort();
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      for (const stream of open) end(stream);
      await promise;
    },
  };
}

async function listen(server: Server, port: PublishedPort): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (error) => reject(listenError(port, error)));
  // Without ipv6Only "::" would take the IPv4 port of the same number as well.
  server.listen({ host: port.hostAddress, port: port.hostPort, ipv6Only: true }, resolve);
  await promise;
  // A failing accept (no more descriptors) costs that client, not the port.
  server.on("error", () => {});
}

interface Carrying {
  port: PublishedPort;
  dial: Dial;
  closing: AbortSignal;
  open: Set<Duplex>;
}

/** One connection, to its end. Never rejects: what goes wrong is the client's to notice. */
async function carry(client: Socket, { port, dial, closing, open }: Carrying): Promise<void> {
  track(client, open);
  const gone = new AbortController();
  client.once("close", () => gone.abort());
  // Ends with dialling, for whoever keeps looking at the signal afterwards.
  const timer = setTimeout(() => gone.abort(), DIAL_TIMEOUT_MS);
  try {
    const guest = await dial(port.guestPort, AbortSignal.any([closing, gone.signal]));
    track(guest, open);
    joinStreams(client, guest);
    if (closing.aborted || client.destroyed) guest.destroy();
  } catch {
    // A reset instead of an orderly close: the data was not received.
    client.resetAndDestroy();
  } finally {
    clearTimeout(timer);
  }
}

/** A client is reset: an orderly end would leave one that still has to say something waiting. */
function end(stream: Duplex): void {
  if (stream instanceof Socket) stream.resetAndDestroy();
  else stream.destroy();
}

function track(stream: Duplex, open: Set<Duplex>): void {
  open.add(stream);
  stream.on("error", () => {});
  stream.once("close", () => open.delete(stream));
}
