/** One address that the API is served at. */
import type { Server } from "bun";
import { EXEC_MESSAGE_MAX_BYTES, EXEC_PROTOCOL } from "#api/exec.ts";
import type { Caller } from "#api/serve/caller.ts";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { SocketSession } from "#daemon/exec/session.ts";
import type { ExecSession } from "#daemon/exec/wire.ts";
import { formatAuthority, type ListenAddress } from "./address.ts";
import type { Listener, ListenOptions } from "./listeners.ts";
import type { Routes, RoutesOptions } from "./routes.ts";

/** Of a connection without a request, or of a request that does not arrive. */
const IDLE_TIMEOUT_S = 30;

interface SocketData {
  caller: Caller;
  session?: ExecSession;
}

/** `conflict` for a port that is taken. */
export function listen(
  routes: Routes,
  { services, mounts }: RoutesOptions,
  { address, hosts, tls }: ListenOptions,
): Listener {
  const scheme = tls ? "https" : "http";
  const gate = { hosts, isPublic: !address.isLocal, scheme } as const;
  const bodyMax_bytes = Math.max(8 * MiB, ...mounts.map((each) => each.bodyMax_bytes ?? 0));
  let server: Server<SocketData>;
  try {
    server = Bun.serve<SocketData>({
      hostname: address.hostname,
      port: address.port,
      ...(tls ? { tls } : {}),
      reusePort: false,
      development: false,
      idleTimeout: IDLE_TIMEOUT_S,
      maxRequestBodySize: bodyMax_bytes,
      async fetch(request, self) {
        const remote = self.requestIP(request)?.address ?? "";
        // A stream may be silent for as long as a machine is.
        self.timeout(request, 0);
        const upgrade = (caller: Caller): boolean => {
          const headers = { "Sec-WebSocket-Protocol": EXEC_PROTOCOL };
          return self.upgrade(request, { data: { caller }, headers });
        };
        return await routes.respond(request, { gate, remote, upgrade });
      },
      websocket: {
        maxPayloadLength: EXEC_MESSAGE_MAX_BYTES,
        backpressureLimit: 16 * MiB,
        idleTimeout: 0,
        open(socket) {
          socket.data.session = new SocketSession(socket, services, socket.data.caller);
        },
        message(socket, message) {
          socket.data.session?.receive(message);
        },
        close(socket) {
          socket.data.session?.clientLeft();
        },
      },
    });
  } catch (error) {
    throw listenError(address, error);
  }
  return {
    url: `${scheme}://${formatAuthority(address.hostname, server.port ?? address.port)}`,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
    },
  };
}

function listenError({ hostname, port }: ListenAddress, cause: unknown): BangerError {
  const what = `Cannot listen on ${formatAuthority(hostname, port)}`;
  switch (errnoOf(cause)) {
    case "EADDRINUSE":
      return new BangerError("conflict", `${what}: address already in use`, {
        hint: `Find the process with: sudo ss -ltnp "sport = :${port}"`,
        cause,
      });
    case "EACCES":
      return new BangerError("permission_denied", `${what}: permission denied`, {
        hint: "Use port 1024 or higher",
        cause,
      });
    case "EADDRNOTAVAIL":
      return new BangerError("invalid_argument", `${what}: the host has no such address`, {
        hint: "List the host's addresses with: ip -br addr",
        cause,
      });
    default:
      return new BangerError("internal", `${what}: ${messageOf(cause)}`, { cause });
  }
}
