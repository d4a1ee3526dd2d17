/** HTTP on the unix socket: RPC for our own clients, REST with an OpenAPI document for all others. */
import { chmodSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { OpenAPIHandler } from "@orpc/openapi/fetch";
import { RPCHandler } from "@orpc/server/fetch";
import { EXEC_MESSAGE_MAX_BYTES, EXEC_PATH, EXEC_PROTOCOL } from "#api/exec.ts";
import { VERSION_PATH } from "#api/exec-constants.ts";
import { USER } from "#api/serve/caller.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { version } from "#base/version.ts";
import { SocketSession } from "#daemon/exec/session.ts";
import type { StreamServices } from "#daemon/exec/streams.ts";
import type { ExecSession } from "#daemon/exec/wire.ts";
import { errorResponse } from "./errors.ts";
import type { makeRouter } from "./handlers/router.ts";
import { type CallCounts, METRICS_TYPE, metricsText } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { checkBody } from "./request-body.ts";

const REQUEST_MAX_BYTES = 8 * MiB;

/**
 * A stream may be silent for as long as a machine is. The declared options lack the time-out
 * of a unix socket, which is there all the same.
 */
const withoutTimeout: object = { idleTimeout: 0 };

interface ServerOptions {
  socket: string;
  router: ReturnType<typeof makeRouter>;
  services: StreamServices;
  calls: CallCounts;
}

export interface RunningServer {
  stop(): Promise<void>;
}

/** A socket file that nobody answers on is left from a dead daemon and replaced. */
export async function serve({
  socket,
  router,
  services,
  calls,
}: ServerOptions): Promise<RunningServer> {
  mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
  await removeStale(socket);
  const rpc = new RPCHandler(router);
  const rest = new OpenAPIHandler(router);
  const umask = process.umask(0o177);
  const server = Bun.serve<{ session?: ExecSession }>({
    unix: socket,
    ...withoutTimeout,
    maxRequestBodySize: REQUEST_MAX_BYTES,
    async fetch(request, server) {
      const { pathname } = new URL(request.url);
      if (pathname === EXEC_PATH) {
        const headers = { "Sec-WebSocket-Protocol": EXEC_PROTOCOL };
        if (server.upgrade(request, { data: {}, headers })) return undefined;
        return new Response(`WebSocket required, subprotocol ${EXEC_PROTOCOL}\n`, { status: 426 });
      }
      if (pathname === "/metrics") {
        const text = metricsText(services.vms.list(), calls);
        return new Response(text, { headers: { "Content-Type": METRICS_TYPE } });
      }
      if (pathname === VERSION_PATH) return Response.json(version);
      if (pathname === "/openapi.json") return Response.json(await openApiDocument());
      const isRpc = pathname.startsWith("/rpc/");
      try {
        if (!isRpc) await checkBody(request);
      } catch (error) {
        return errorResponse(error);
      }
      const context = { caller: USER };
      const { matched, response } = isRpc
        ? await rpc.handle(request, { prefix: "/rpc", context })
        : await rest.handle(request, { prefix: "/v1", context });
      if (matched) return response;
      return errorResponse(new BangerError("not_found", `no such path: ${pathname}`));
    },
    websocket: {
      maxPayloadLength: EXEC_MESSAGE_MAX_BYTES,
      backpressureLimit: 16 * MiB,
      idleTimeout: 0,
      open(socket) {
        socket.data.session = new SocketSession(socket, services, USER);
      },
      message(socket, message) {
        socket.data.session?.receive(message);
      },
      close(socket) {
        socket.data.session?.clientLeft();
      },
    },
  });
  process.umask(umask);
  chmodSync(socket, 0o600);
  return {
    async stop() {
      await server.stop(true);
      rmSync(socket, { force: true });
    },
  };
}

async function removeStale(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(path, () => resolve(true)).on("error", () => resolve(false));
  const isAlive = await promise;
  probe.destroy();
  if (isAlive) {
    throw new BangerError("conflict", `Cannot listen on ${path}: in use by another daemon`, {
      hint: "Show its status with: banger daemon status",
    });
  }
  rmSync(path, { force: true });
}
