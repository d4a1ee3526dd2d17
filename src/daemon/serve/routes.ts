/** Routes on TCP: the contract, the exec WebSocket, metrics, the OpenAPI document, and the mounts. */
import { OpenAPIHandler } from "@orpc/openapi/fetch";
import { RPCHandler } from "@orpc/server/fetch";
import { EXEC_PATH } from "#api/exec.ts";
import { VERSION_PATH } from "#api/exec-constants.ts";
import { type Caller, TOKEN_PROTOCOL_PREFIX, USER } from "#api/serve/caller.ts";
import type { Mount } from "#api/serve/mount.ts";
import { BangerError } from "#base/error.ts";
import { version } from "#base/version.ts";
import type { Services } from "#daemon/compose.ts";
import { errorResponse } from "#daemon/errors.ts";
import { METRICS_TYPE, metricsText } from "#daemon/metrics.ts";
import { openApiDocument } from "#daemon/openapi.ts";
import { checkBody } from "#daemon/request-body.ts";
import { isUiPage, UI_API, UI_PREFIX, uiPublic, uiSecrets, uiSession } from "#daemon/ui/routes.ts";
import type { UiSession } from "#daemon/ui/sessions.ts";
import { checkOrigin, type GateOptions, parseHost } from "./gate.ts";
import {
  RateLimit,
  REQUEST_MAX_BYTES,
  STRANGER_RATE,
  TOKEN_RATE,
  withBodyLimit,
} from "./limits.ts";
import { mountContext, type Router } from "./mounts.ts";
import { type ApiDocument, apiPage, PAGE_POLICY } from "./page.ts";
import { portTargetOf } from "./port-door.ts";
import { type Hold, Revocation } from "./revocation.ts";

/** The daemon's user, who has logged in through the unix socket. */
const UI_CALLER: Caller = { ...USER, name: "ui" };
/** Where the contract is served once more. */
type Below = "" | typeof UI_API;
const WHOLE_TYPES = /^(application\/json|text\/plain|text\/html)?(;|$)/;

export interface RoutesOptions {
  services: Services;
  router: Router;
  mounts: readonly Mount[];
}

export interface Arrival {
  gate: GateOptions;
  /** Answers a request whose Host means a port of a machine. */
  forwardToPort(request: Request): Promise<Response>;
  /** Upgrades the request to a WebSocket; false if it does not ask for one. */
  upgrade(caller: Caller, hold: Hold): boolean;
}

export interface Answer {
  response: Response;
  /** It does not go on for long: the connection may be idle from its end on. */
  isWhole: boolean;
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
  async respond(request: Request, arrival: Arrival): Promise<Answer | undefined> {
    let caller: Caller | undefined;
    const admit = (found: Caller | undefined): void => {
      this.#count(found?.token);
      caller ??= found;
    };
    const verify = (secret: string | undefined): Caller | undefined => {
      const found = this.#options.services.tokens.verify(secret);
      admit(found);
      return found;
    };
    try {
      const authority = parseHost(request.headers.get("Host"));
      if (authority && portTargetOf(authority.hostname, arrival.gate)) {
        return { response: await arrival.forwardToPort(request), isWhole: false };
      }
      // A Host that is none makes the address none.
      const path = URL.canParse(request.url) ? new URL(request.url).pathname : "";
      const mayNavigate = request.method === "GET" && isUiPage(path);
      checkOrigin(request.headers, arrival.gate, { mayNavigate });
      const { pathname } = new URL(request.url);
      const mount = this.#options.mounts.find(({ prefix }) => isBelow(pathname, prefix));
      if (mount) {
        const response = await this.#mounted(mount, request, { admit, ...arrival });
        const isRefused = !caller && response.status >= 400;
        return { response: isRefused ? closing(response) : response, isWhole: isWhole(response) };
      }
      const count = (session: UiSession): void => {
        this.#count(session.id);
        caller = UI_CALLER;
      };
      const response = isBelow(pathname, UI_PREFIX)
        ? await this.#ui(request, { pathname, count, ...arrival })
        : await this.#own(request, { pathname, verify, ...arrival });
      if (!response) return undefined;
      const isStream = response.headers.get("Content-Type")?.startsWith("text/event-stream");
      const secured = withHeaders(response);
      return { response: caller ? secured : closing(secured), isWhole: !isStream };
    } catch (error) {
      const response = withHeaders(error instanceof TooMany ? tooMany() : errorResponse(error));
      return { response: caller ? response : closing(response), isWhole: true };
    }
  }

  async #mounted(
    mount: Mount,
    request: Request,
    { admit: admitted, forwardToPort }: Arrival & { admit: Admit },
  ): Promise<Response> {
    const revocation = new Revocation();
    let refusal: unknown;
    const admit: Admit = (caller) => {
      try {
        admitted(caller);
      } catch (error) {
        // A mount would answer it as a fault of its own.
        refusal = error;
        throw error;
      }
      if (caller) revocation.hold(this.#holdOf(caller));
    };
    const verify: Verify = (secret) => {
      const found = this.#options.services.tokens.verify(secret);
      admit(found);
      return found;
    };
    const { signal } = revocation;
    const max_bytes = mount.bodyMax_bytes ?? REQUEST_MAX_BYTES;
    const limited = new Request(withBodyLimit(request, max_bytes, signal), {
      signal: AbortSignal.any([request.signal, signal]),
    });
    try {
      const context = { ...mountContext(this.#options), caller: verify, admit, forwardToPort };
      const response = await mount.handle(limited, context);
      if (refusal) throw refusal;
      return revocation.answer(response, isWhole(response));
    } catch (error) {
      revocation.release();
      throw refusal ?? error;
    }
  }

  async #own(
    request: Request,
    { pathname, verify, upgrade }: Arrival & { pathname: string; verify: Verify },
  ): Promise<Response | undefined> {
    const { services } = this.#options;
    const isRead = request.method === "GET" || request.method === "HEAD";
    if (pathname === "/openapi.json" && isRead) {
      this.#count(undefined);
      return Response.json(await openApiDocument());
    }
    if (pathname === "/" && isRead) {
      this.#count(undefined);
      const page = apiPage((await openApiDocument()) as ApiDocument);
      return new Response(page, {
        headers: {
          "Content-Type": "text/html; charset=utf-8",
          "Content-Security-Policy": PAGE_POLICY,
        },
      });
    }
    const caller = verify(tokenOf(request.headers));
    if (!caller) {
      throw new BangerError("unauthorized", "missing or unknown token", {
        hint: "Send it as Authorization: Bearer TOKEN; create one with: banger token create",
      });
    }
    if (pathname === EXEC_PATH) {
      if (upgrade(caller, this.#holdOf(caller))) return undefined;
      return new Response("WebSocket required\n", { status: 426 });
    }
    if (pathname === VERSION_PATH) return Response.json(version);
    if (pathname === "/metrics") {
      if (caller.scope === "own") {
        throw new BangerError(
          "permission_denied",
          'scope "own" does not permit metrics of all machines',
          {
            hint: "Create a token with another scope: banger token create --scope read",
          },
        );
      }
      const text = metricsText(services.vms.list(), services.calls);
      return new Response(text, { headers: { "Content-Type": METRICS_TYPE } });
    }
    return await this.#contract(request, pathname, { caller, hold: this.#holdOf(caller) });
  }

  /** `count`: called with the session, if the request has one. */
  async #ui(
    request: Request,
    { pathname, count, upgrade }: Arrival & { pathname: string; count: (of: UiSession) => void },
  ): Promise<Response | undefined> {
    const { sessions } = this.#options.services.ui;
    if (!isBelow(pathname, UI_API)) {
      this.#count(undefined);
      return await uiPublic(request, sessions);
    }
    const session = sessions.find(...uiSecrets(request.headers));
    if (session) count(session);
    else this.#count(undefined);
    const found = uiSession(request, session);
    const path = pathname.slice(UI_API.length);
    const hold: Hold = (end) => sessions.hold(found, end);
    if (path === "/exec") {
      if (upgrade(UI_CALLER, hold)) return undefined;
      return new Response("WebSocket required\n", { status: 426 });
    }
    if (path === "/logout" && request.method === "POST") {
      return Response.json({}, { headers: { "Set-Cookie": sessions.end(found) } });
    }
    if (isBelow(path, "/rpc")) {
      return await this.#contract(request, path, { caller: UI_CALLER, hold, below: UI_API });
    }
    throw new BangerError("not_found", `no such path: ${pathname}`);
  }

  #holdOf(caller: Caller): Hold {
    return (end) => this.#options.services.tokens.hold(caller, end);
  }

  async #contract(
    request: Request,
    pathname: string,
    { caller, hold, below = "" }: { caller: Caller; hold: Hold; below?: Below },
  ): Promise<Response> {
    const revocation = new Revocation();
    revocation.hold(hold);
    const signal = AbortSignal.any([request.signal, revocation.signal]);
    const limited = new Request(withBodyLimit(request, REQUEST_MAX_BYTES), { signal });
    try {
      const response = await this.#handle(limited, pathname, { caller, below });
      if (!response) throw new BangerError("not_found", `no such path: ${pathname}`);
      return revocation.answer(response, isWhole(response));
    } catch (error) {
      revocation.release();
      throw error;
    }
  }

  /** Undefined for a path that is none of the contract's. */
  async #handle(
    request: Request,
    pathname: string,
    { caller, below }: { caller: Caller; below: Below },
  ): Promise<Response | undefined> {
    const context = { caller };
    if (isBelow(pathname, "/rpc")) {
      return (await this.#rpc.handle(request, { prefix: `${below}/rpc`, context })).response;
    }
    await checkBody(request);
    return (await this.#rest.handle(request, { prefix: "/v1", context })).response;
  }

  /** Requests without a token are counted separately, so that they cannot starve those with one. */
  #count(id: string | undefined): void {
    if (this.#rateOf(id).take()) return;
    throw new TooMany();
  }

  #rateOf(id: string | undefined): RateLimit {
    if (id === undefined) return this.#strangers;
    const rate = this.#rates.get(id) ?? new RateLimit(TOKEN_RATE);
    this.#rates.set(id, rate);
    return rate;
  }
}

/** From the header or a WebSocket's subprotocols, never from a cookie. */
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

/** Not of a stream, which may be silent for long. */
function isWhole({ headers }: Response): boolean {
  return WHOLE_TYPES.test(headers.get("Content-Type") ?? "");
}

/** Counts a request as of this caller. */
type Admit = (caller: Caller | undefined) => void;
type Verify = (secret: string | undefined) => Caller | undefined;

class TooMany extends Error {}

function tooMany(): Response {
  const about = { code: "unavailable", status: 429, message: "too many requests" };
  const body = { defined: false, ...about, data: {} };
  return Response.json(body, { status: 429, headers: { "Retry-After": "1" } });
}

/** Requests without a token get no keep-alive. */
function closing(response: Response): Response {
  response.headers.set("Connection", "close");
  return response;
}

/** No response may be cached, sniffed or framed by a page. */
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
