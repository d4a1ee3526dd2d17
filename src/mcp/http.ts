/** MCP over Streamable HTTP, for any server: this is what both the product and the conformance tests are served by. */
import {
  type AuthInfo,
  createMcpHandler,
  type McpRequestContext,
  type McpServer,
  type ServerNotifier,
} from "@modelcontextprotocol/server";
import type { Caller } from "#api/serve/caller.ts";
import type { MountContext } from "#api/serve/mount.ts";
import { MiB } from "#base/size.ts";
import { Cancellable, SESSION_HEADER } from "./cancel.ts";

/** Of a request: a file that a client writes is in it. */
export const MCP_BODY_MAX_BYTES = 4 * MiB;
const SUBSCRIPTIONS_MAX = 64;
/** Messages in one request, which is counted as one. */
const BATCH_MAX = 64;

export interface Served {
  caller: Caller;
  context: MountContext;
  request: Request;
}

export interface McpHttp {
  handle(request: Request, context: MountContext): Promise<Response>;
  /** Tells clients that have subscribed. */
  notify: ServerNotifier;
}

/** `makeServer` is called for each request. */
export function mcpHttp(makeServer: (served: Served) => McpServer): McpHttp {
  const handler = createMcpHandler(
    ({ authInfo }: McpRequestContext) => {
      const served = authInfo?.extra?.["served"];
      if (!served) throw new Error("a request without its caller");
      return makeServer(served as Served);
    },
    { maxRequestBodySize: MCP_BODY_MAX_BYTES, maxSubscriptions: SUBSCRIPTIONS_MAX },
  );
  const cancellable = new Cancellable();
  return {
    notify: handler.notify,
    async handle(request, context) {
      const caller = context.caller(tokenOf(request));
      if (!caller) return unauthorized();
      const authInfo = (served: Served): AuthInfo => ({
        // The secret is of no concern to tools.
        token: "",
        clientId: caller.token ?? "",
        scopes: [caller.scope],
        extra: { served },
      });
      const session = request.headers.get(SESSION_HEADER);
      const body = await bodyOf(request);
      if (Array.isArray(body) && body.length > BATCH_MAX) return batchTooLong();
      const client = `${caller.token}\0${session}`;
      if (session !== null) cancellable.cancel(client, body);
      const respond = async (signal: AbortSignal): Promise<Response> => {
        const { url, method, headers } = request;
        const whole = new Request(url, { method, headers, signal });
        const served = authInfo({ caller, context, request: whole });
        const options = body === undefined ? {} : { parsedBody: body };
        return await handler.fetch(whole, { authInfo: served, ...options });
      };
      if (session !== null) return await cancellable.run(client, { body, request }, respond);
      const response = await respond(request.signal);
      if (isInitialize(body)) response.headers.set(SESSION_HEADER, crypto.randomUUID());
      return response;
    },
  };
}

/** Undefined where there is none. What is no JSON is left to be refused. */
async function bodyOf(request: Request): Promise<unknown> {
  if (request.method !== "POST") return undefined;
  const text = await request.text();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

function isInitialize(body: unknown): boolean {
  return Reflect.get(Object(body), "method") === "initialize";
}

function tokenOf({ headers }: Request): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.get("Authorization") ?? "")?.[1];
}

function batchTooLong(): Response {
  const message = `more than ${BATCH_MAX} messages in a batch`;
  return Response.json(
    { jsonrpc: "2.0", id: null, error: { code: -32600, message } },
    { status: 400 },
  );
}

function unauthorized(): Response {
  const message =
    "missing or unknown token: send it as Authorization: Bearer TOKEN; create one with: banger token create";
  return Response.json(
    { jsonrpc: "2.0", id: null, error: { code: -32001, message } },
    { status: 401, headers: { "WWW-Authenticate": 'Bearer realm="banger"' } },
  );
}
