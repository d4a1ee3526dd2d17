/** What is served on TCP: the contract, the exec WebSocket, metrics, the document, and the mounts. */
import { OpenAPIHandler } from "@orpc/openapi/fetch";
import { RPCHandler } from "@orpc/server/fetch";
import { EXEC_PATH } from "#api/exec.ts";
import { VERSION_PATH } from "#api/exec-constants.ts";
import { type Caller, TOKEN_PROTOCOL_PREFIX } from "#api/serve/caller.ts";
import type { Mount } from "#api/serve/mount.ts";
import { BangerError } from "#base/error.ts";
import { version } from "#base/version.ts";
import type { Services } from "#daemon/compose.ts";
import { errorResponse } from "#daemon/errors.ts";
import { METRICS_TYPE, metricsText } from "#daemon/metrics.ts";
import { openApiDocument } from "#daemon/openapi.ts";
import { checkBody } from "#daemon/request-body.ts";
import { checkOrigin, type GateOptions } from "./gate.ts";
import {
  RateLimit,
  REQUEST_MAX_BYTES,
  STRANGER_RATE,
  TOKEN_RATE,
  withBodyLimit,
} from "./limits.ts";
import { mountContext, type Router } from "./mounts.ts";

export interface RoutesOptions {
  services: Services;
  router: Router;
  mounts: readonly Mount[];
}

export interface Arrival {
  gate: GateOptions;
  /** Of the client. */
  remote: string;
  /** Makes a WebSocket of the request; false when it is none. */
  upgrade(caller: Caller): boolean;
}

/** For every address that the API is served at. */
export class Routes {
  readonly #options: RoutesOptions;
  readonly #rpc: RPCHandler<{ caller: Caller }>;
  readonly #rest: OpenAPIHandler<{ caller: Caller }>;
  readonly #strangers = new RateLimit(STRANGER_RATE);
  readonly #rates = new Map<string, RateLimit>();

  constructor(options: RoutesOptions) {
    this.#options = options;
    this.#rpc = new RPCHandler(options.router);
    this.#rest = new OpenAPIHandler(options.router);
  }

  /** Undefined once the request is a WebSocket. */
  async respond(request: Request, arrival: Arrival): Promise<Response | undefined> {
    try {
      checkOrigin(request.headers, arrival.gate);
      const { pathname } = new URL(request.url);
      const mount = this.#options.mounts.find(({ prefix }) => isBelow(pathname, prefix));
      if (mount) return await this.#mounted(mount, request, arrival.remote);
      return await this.#own(request, pathname, arrival);
    } catch (error) {
      return withHeaders(errorResponse(error));
    }
  }

  async #mounted(mount: Mount, request: Request, remote: string): Promise<Response> {
    const limited = withBodyLimit(request, mount.bodyMax_bytes ?? REQUEST_MAX_BYTES);
    const context = mountContext(this.#options, remote);
    return await mount.handle(limited, {
      ...context,
      caller: (token) => {
        const caller = context.caller(token);
        this.#count(caller);
        return caller;
      },
    });
  }

  async #own(request: Request, pathname: string, arrival: Arrival): Promise<Response | undefined> {
    const { services } = this.#options;
    if (pathname === "/openapi.json") {
      this.#count(undefined);
      return withHeaders(Response.json(await openApiDocument()));
    }
    const caller = this.#authenticated(request);
    if (pathname === EXEC_PATH) {
      if (arrival.upgrade(caller)) return undefined;
      return withHeaders(new Response("WebSocket required\n", { status: 426 }));
    }
    if (pathname === VERSION_PATH) return withHeaders(Response.json(version));
    if (pathname === "/metrics") {
      if (caller.scope === "own") {
        throw new BangerError("permission_denied", "metrics are about the machines of all");
      }
      const text = metricsText(services.vms.list(), services.calls);
      return withHeaders(new Response(text, { headers: { "Content-Type": METRICS_TYPE } }));
    }
    return withHeaders(await this.#contract(request, pathname, caller));
  }

  async #contract(request: Request, pathname: string, caller: Caller): Promise<Response> {
    const limited = withBodyLimit(request, REQUEST_MAX_BYTES);
    const isRpc = isBelow(pathname, "/rpc");
    if (!isRpc) await checkBody(limited);
    const context = { caller };
    const { matched, response } = isRpc
      ? await this.#rpc.handle(limited, { prefix: "/rpc", context })
      : await this.#rest.handle(limited, { prefix: "/v1", context });
    if (matched) return response;
    throw new BangerError("not_found", `no such path: ${pathname}`);
  }

  #authenticated(request: Request): Caller {
    const caller = this.#options.services.tokens.verify(tokenOf(request.headers));
    this.#count(caller);
    if (caller) return caller;
    throw new BangerError("unauthorized", "missing or unknown token", {
      hint: "Send it as Authorization: Bearer TOKEN; create one with: banger token create",
    });
  }

  /** Strangers are counted apart, so that they take nothing from whoever has a token. */
  #count(caller: Caller | undefined): void {
    if (this.#rateOf(caller).take()) return;
    throw new BangerError("unavailable", "too many requests", { hint: "Try again in a moment" });
  }

  #rateOf(caller: Caller | undefined): RateLimit {
    if (caller?.token === undefined) return this.#strangers;
    const rate = this.#rates.get(caller.token) ?? new RateLimit(TOKEN_RATE);
    this.#rates.set(caller.token, rate);
    return rate;
  }
}

/** Of the header, or of a WebSocket's subprotocols. A cookie is never looked at. */
export function tokenOf(headers: Headers): string | undefined {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(headers.get("Authorization") ?? "") ?? [];
  if (bearer !== undefined) return bearer;
  return (headers.get("Sec-WebSocket-Protocol") ?? "")
    .split(",")
    .map((each) => each.trim())
    .find((each) => each.startsWith(TOKEN_PROTOCOL_PREFIX))
    ?.slice(TOKEN_PROTOCOL_PREFIX.length);
}

function isBelow(pathname: string, prefix: string): boolean {
  return pathname === prefix || pathname.startsWith(`${prefix}/`);
}

/** Nothing that is answered is for a page to show, to keep or to frame. */
function withHeaders(response: Response): Response {
  const { headers } = response;
  headers.set("X-Content-Type-Options", "nosniff");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  headers.set("Referrer-Policy", "no-referrer");
  if (!headers.has("Cache-Control")) headers.set("Cache-Control", "no-store");
  if (!headers.has("Content-Security-Policy")) {
    headers.set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  }
  if (response.status === 401) headers.set("WWW-Authenticate", 'Bearer realm="banger"');
  return response;
}
