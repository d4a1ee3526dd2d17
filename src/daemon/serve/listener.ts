/** One address that the API is served at: the TCP end, and the HTTP server behind it on a unix socket. */
import { chmodSync, rmSync } from "node:fs";
import type { Server } from "bun";
import { EXEC_MESSAGE_MAX_BYTES, EXEC_PROTOCOL } from "#api/exec.ts";
import type { Caller } from "#api/serve/caller.ts";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Paths } from "#config/paths.ts";
import { SocketSession } from "#daemon/exec/session.ts";
import type { ExecSession } from "#daemon/exec/wire.ts";
import { formatAuthority, type ListenAddress } from "./address.ts";
import { type FrontOptions, openFront } from "./front.ts";
import type { GateOptions } from "./gate.ts";
import { REQUEST_MAX_BYTES } from "./limits.ts";
import type { Listener, ListenOptions } from "./listeners.ts";
import { forwardToPort } from "./port-again.ts";
import type { PortDoor } from "./port-door.ts";
import type { Hold } from "./revocation.ts";
import type { Arrival, Routes, RoutesOptions } from "./routes.ts";

/** Of a connection between two requests. */
const IDLE_TIMEOUT_S = 60;

export interface Served extends RoutesOptions {
  routes: Routes;
  ports: PortDoor;
  /** Sockets that only this user reaches. */
  sockets: Paths["serve"];
}

interface SocketData {
  caller: Caller;
  hold: Hold;
  session?: ExecSession;
  held?: Disposable;
}

let count = 0;

/** `conflict` for a port that is taken. */
export async function listen(
  served: Served,
  { address, hosts, tls }: ListenOptions,
): Promise<Listener> {
  const scheme = tls ? "https" : "http";
  const gate: GateOptions = { hosts, isPublic: !address.isLocal, scheme };
  const { http: inner, ports: again } = served.sockets(++count);
  // What a daemon that was killed has left.
  for (const path of [inner, again]) rmSync(path, { force: true });
  const server = serveInner(served, { inner, again }, gate);
  await using opened = new AsyncDisposableStack();
  opened.defer(() => end(server, inner));
  try {
    const takePort: FrontOptions["takePort"] = (arrived) => served.ports.take(arrived, gate);
    const behind = await openFront({ address: again, tls: undefined, inner, takePort });
    opened.defer(() => behind.close());
    const front = await openFront({ address, tls, inner, takePort });
    opened.defer(() => front.close());
    const all = opened.move();
    return {
      url: `${scheme}://${formatAuthority(address.hostname, front.port)}`,
      [Symbol.asyncDispose]: () => all.disposeAsync(),
    };
  } catch (error) {
    throw listenError(address, error);
  }
}

async function end(server: Server<SocketData>, inner: string): Promise<void> {
  await server.stop(true);
  rmSync(inner, { force: true });
}

function serveInner(
  { routes, services, mounts }: Served,
  { inner, again }: { inner: string; again: string },
  gate: GateOptions,
): Server<SocketData> {
  const bodyMax_bytes = Math.max(
    REQUEST_MAX_BYTES,
    ...mounts.map((each) => each.bodyMax_bytes ?? 0),
  );
  const idle: object = { idleTimeout: IDLE_TIMEOUT_S };
  const umask = process.umask(0o177);
  const server = Bun.serve<SocketData>({
    unix: inner,
    ...idle,
    development: false,
    // Above what routes count, whose answer says what is wrong.
    maxRequestBodySize: bodyMax_bytes + MiB,
    async fetch(request, self) {
      const timeout = (seconds: number): void => self.timeout(request, seconds);
      // An answer may be as long in coming as a machine is in stopping.
      timeout(0);
      const upgrade: Arrival["upgrade"] = (caller, hold) => {
        const headers = { "Sec-WebSocket-Protocol": EXEC_PROTOCOL };
        return self.upgrade(request, { data: { caller, hold }, headers });
      };
      const forward = (each: Request): Promise<Response> => forwardToPort(each, again);
      const answer = await routes.respond(request, { gate, upgrade, forwardToPort: forward });
      if (answer?.isWhole) timeout(IDLE_TIMEOUT_S);
      return answer?.response;
    },
    websocket: {
      maxPayloadLength: EXEC_MESSAGE_MAX_BYTES,
      backpressureLimit: 16 * MiB,
      idleTimeout: 0,
      open(socket) {
        const { caller, hold } = socket.data;
        socket.data.session = new SocketSession(socket, services, caller);
        socket.data.held = hold(() => socket.close(1008, "token revoked"));
      },
      message(socket, message) {
        socket.data.session?.receive(message);
      },
      close(socket) {
        socket.data.held?.[Symbol.dispose]();
        socket.data.session?.clientLeft();
      },
    },
  });
  process.umask(umask);
  chmodSync(inner, 0o600);
  return server;
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
      return new BangerError("invalid_argument", `${what}: ${messageOf(cause)}`, { cause });
  }
}
