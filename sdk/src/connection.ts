/** Finds the daemon and connects to it, on Node, Bun and Deno. */
import { request as requestHttp } from "node:http";
import { connect } from "node:net";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { Readable } from "node:stream";
import WebSocket from "ws";
import type { ExecOpen } from "#api/exec.ts";
import { EXEC_MESSAGE_MAX_BYTES, EXEC_PATH, EXEC_PROTOCOL } from "#api/exec-constants.ts";
import type { ExecConnection, ExecOptions } from "#api/serve/exec-client.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { type Client, clientOver } from "./client.ts";
import { type Dial, openExecOver } from "./exec-stream.ts";
import type { ConnectOptions } from "./types.ts";

export interface Connection {
  client: Client;
  open(open: ExecOpen, options?: ExecOptions): ExecConnection;
}

type Environment = Record<string, string | undefined>;

/** Does not connect until the first call. */
export function makeConnection(options: ConnectOptions): Connection {
  const env = process.env;
  const url = options.url ?? (options.socket === undefined ? env["BANGER_URL"] : undefined);
  if (url === undefined) return onSocket(options.socket ?? defaultSocket(env));
  return onUrl(url, options.token ?? env["BANGER_TOKEN"]);
}

/** The daemon's socket by default, resolved as src/config does. */
export function defaultSocket(env: Environment): string {
  const given = (name: string) => {
    const value = env[name];
    return value && isAbsolute(value) ? value : undefined;
  };
  const state = given("XDG_STATE_HOME") ?? join(env["HOME"] ?? homedir(), ".local/state");
  const runtime = given("XDG_RUNTIME_DIR");
  return join(runtime ? join(runtime, "banger") : join(state, "banger", "run"), "daemon.sock");
}

function onSocket(socket: string): Connection {
  return {
    client: clientOver({
      url: "http://banger/rpc",
      where: socket,
      fetch: (request) => fetchUnix(socket, request),
    }),
    open: (open, options) =>
      openExecOver(socket, open, {
        ...options,
        // Not by a "ws+unix:" address, which cannot have every path.
        dial: dialer(
          () =>
            new WebSocket(`ws://banger${EXEC_PATH}`, EXEC_PROTOCOL, {
              ...LIMITS,
              createConnection: () => connect({ path: socket }),
            }),
        ),
      }),
  };
}

function onUrl(url: string, token: string | undefined): Connection {
  const base = parseUrl(url);
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  const socketUrl = new URL(`${base}${EXEC_PATH}`);
  socketUrl.protocol = socketUrl.protocol === "https:" ? "wss:" : "ws:";
  return {
    client: clientOver({
      url: `${base}/rpc`,
      where: base,
      headers,
      fetch: (request, init) => fetchUrl(base, request, init),
    }),
    open: (open, options) =>
      openExecOver(base, open, {
        ...options,
        dial: dialer(() => new WebSocket(socketUrl, EXEC_PROTOCOL, { ...LIMITS, headers })),
      }),
  };
}

/** The address without a slash at its end. */
function parseUrl(url: string): string {
  const { protocol, origin, pathname } = URL.canParse(url) ? new URL(url) : { protocol: "" };
  if (protocol !== "http:" && protocol !== "https:") {
    throw new BangerError("invalid_argument", `invalid URL "${url}"`, {
      hint: 'Use what "banger serve" prints, such as http://127.0.0.1:7777',
    });
  }
  return `${origin}${pathname}`.replace(/\/+$/, "");
}

const LIMITS = { maxPayload: EXEC_MESSAGE_MAX_BYTES, perMessageDeflate: false } as const;

async function fetchUrl(base: string, request: Request, init: RequestInit): Promise<Response> {
  try {
    return await fetch(request, init);
  } catch (error) {
    if (request.signal.aborted) throw error;
    // Node's message is only "fetch failed"; the cause has the reason.
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    throw new BangerError("unavailable", `Cannot connect to ${base}: ${messageOf(cause)}`, {
      hint: "Serve the API with: banger serve",
      cause,
    });
  }
}

/** `fetch()` of some runtimes does not support unix sockets. */
async function fetchUnix(socketPath: string, request: Request): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const { pathname, search } = new URL(request.url);
  const sent = requestHttp({
    socketPath,
    path: `${pathname}${search}`,
    method: request.method,
    headers: Object.fromEntries(request.headers),
    signal: request.signal,
  });
  sent.once("error", reject);
  sent.once("response", (answer) => {
    const headers = new Headers();
    for (const [name, value] of Object.entries(answer.headers)) {
      if (value !== undefined) headers.set(name, String(value));
    }
    const status = answer.statusCode ?? 0;
    const body = status === 204 ? null : (Readable.toWeb(answer) as unknown as ReadableStream);
    resolve(new Response(body, { status, headers }));
  });
  sent.end(new Uint8Array(await request.arrayBuffer()));
  return await promise;
}

/** The same channel for every kind of address; where it leads is known already. */
function dialer(connect: () => WebSocket): Dial {
  return (_, { onOpen, onMessage, onClose }) => {
    const web = connect();
    web.binaryType = "arraybuffer";
    let failure = "";
    web.on("open", onOpen);
    web.on("message", (data: ArrayBuffer | Buffer, isBinary: boolean) => {
      onMessage(isBinary ? (data as ArrayBuffer) : new TextDecoder().decode(data));
    });
    web.on("error", (error) => {
      failure = error.message;
    });
    web.on("close", (_code, reason) => onClose(String(reason) || failure));
    return {
      get isOpen() {
        return web.readyState === WebSocket.OPEN;
      },
      send: (data) => web.send(data),
      close() {
        if (web.readyState < WebSocket.CLOSING) web.close(1000);
      },
    };
  };
}
