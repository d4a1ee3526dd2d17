/**
 * The TCP listener of the API: accepts connections, limits their number, and routes each by the Host of its first
 * request, to the HTTP server in this process or to a port of a machine. Unauthenticated clients are limited: a
 * connection must send complete headers in time, and is closed after the response unless the request had a token.
 */
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { KiB } from "#base/size.ts";
import { joinStreams } from "#net/ports/join.ts";
import type { ListenAddress } from "./address.ts";
import { endOfHead, type Head, parseHead } from "./head.ts";

export const CONNECTIONS_MAX = 512;
export const HEAD_MAX_BYTES = 16 * KiB;
/** Deadline for the headers of a connection's first request. */
export const HEAD_TIMEOUT_MS = 10_000;

export interface Arrived {
  head: Head;
  /** Everything received so far. */
  sent: Buffer;
  /** The part after the headers. */
  rest: Buffer;
  client: Socket;
}

export interface FrontOptions {
  /** Or the path of a unix socket. */
  address: ListenAddress | string;
  tls: { cert: string; key: string } | undefined;
  /** Socket of the HTTP server. */
  inner: string;
  /** Handles the connection if it is for a port of a machine. */
  takePort(arrived: Arrived): boolean;
  headTimeout_ms?: number;
  connectionsMax?: number;
}

export interface Front {
  port: number;
  close(): Promise<void>;
}

/** Rejects with the error of listen(2). */
export async function openFront(options: FrontOptions): Promise<Front> {
  const { address, tls } = options;
  const open = new Set<Socket>();
  const accept = makeAccept(options, open);
  const server = tls
    ? await secureServer(tls, accept)
    : createServer({ allowHalfOpen: true }, accept);
  // Includes connections that never complete a TLS handshake.
  server.maxConnections = 2 * (options.connectionsMax ?? CONNECTIONS_MAX);
  await listening(server, address);
  // A failing accept (no more descriptors) costs that client, not the server.
  server.on("error", () => {});
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound ? bound.port : 0,
    async close() {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      for (const client of open) client.destroy();
      await promise;
    },
  };
}

function makeAccept(options: FrontOptions, open: Set<Socket>): (client: Socket) => void {
  const { connectionsMax = CONNECTIONS_MAX, headTimeout_ms = HEAD_TIMEOUT_MS } = options;
  /** Connections without a complete request, oldest first. */
  const waiting = new Set<Socket>();
  return (client) => {
    client.on("error", () => {});
    if (open.size >= connectionsMax) {
      const [oldest] = waiting;
      if (!oldest) return refuse(client, "503 Service Unavailable");
      oldest.destroy();
    }
    open.add(client);
    waiting.add(client);
    client.once("close", () => {
      open.delete(client);
      waiting.delete(client);
    });
    readHead(client, headTimeout_ms, (arrived) => {
      waiting.delete(client);
      if (arrived) pass(arrived, options);
    });
  };
}

/** Undefined if none arrived; the client has then been answered. */
function readHead(
  client: Socket,
  timeout_ms: number,
  onHead: (arrived: Arrived | undefined) => void,
): void {
  let bytes = Buffer.alloc(0);
  const timer = setTimeout(() => fail("408 Request Timeout"), timeout_ms);
  client.once("close", () => clearTimeout(timer));
  client.once("end", ended);
  client.on("data", more);

  function done(arrived: Arrived | undefined): void {
    clearTimeout(timer);
    client.off("data", more);
    client.off("end", ended);
    onHead(arrived);
  }
  function fail(status: string): void {
    done(undefined);
    refuse(client, status);
  }
  function ended(): void {
    done(undefined);
    client.destroy();
  }
  function more(chunk: Buffer): void {
    bytes = Buffer.concat([bytes, chunk]);
    const end = endOfHead(bytes);
    if (end > HEAD_MAX_BYTES || (end < 0 && bytes.length > HEAD_MAX_BYTES)) {
      fail("431 Request Header Fields Too Large");
      return;
    }
    if (end < 0) return;
    const head = parseHead(bytes.subarray(0, end), "request");
    client.pause();
    if (head) done({ head, sent: bytes, rest: bytes.subarray(end), client });
    else fail("400 Bad Request");
  }
}

function pass(arrived: Arrived, { inner, takePort }: FrontOptions): void {
  if (takePort(arrived)) return;
  const { client, sent } = arrived;
  const server = dial({ path: inner, allowHalfOpen: true });
  server.on("error", () => client.destroy());
  server.write(sent);
  joinStreams(client, server);
}

export function refuse(client: Duplex, status: string, text = ""): void {
  const body = text === "" ? "" : `${text}\n`;
  client.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `X-Content-Type-Options: nosniff\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  client.resume();
  // Clients that do not read it, or keep sending, are not waited for.
  setTimeout(() => client.destroy(), 1000).unref();
}

async function listening(server: Server, address: ListenAddress | string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  if (typeof address === "string") server.listen({ path: address }, resolve);
  else server.listen({ host: address.hostname, port: address.port, ipv6Only: true }, resolve);
  await promise;
  server.off("error", reject);
}

async function secureServer(
  tls: { cert: string; key: string },
  accept: (client: Socket) => void,
): Promise<Server> {
  const { createServer: createSecureServer } = await import("node:tls");
  const server = createSecureServer(
    {
      ...tls,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["http/1.1"],
      allowHalfOpen: true,
      handshakeTimeout: HEAD_TIMEOUT_MS,
    },
    accept,
  );
  server.on("tlsClientError", (_, client) => client.destroy());
  return server;
}
