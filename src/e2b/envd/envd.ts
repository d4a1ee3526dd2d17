/** E2B's data plane, which its agent serves inside each of its own sandboxes. Here the daemon serves it for all. */
import { BangerError } from "#base/error.ts";
import type { Backend, E2bCaller, RequestInfo } from "#e2b/backend.ts";
import { metricsOf } from "#e2b/control/metrics.ts";
import { findSandbox, setTimeoutOf } from "#e2b/control/sandboxes.ts";
import type { SandboxTokens } from "#e2b/control/view.ts";
import { badRequest, E2bError, errorReply } from "#e2b/errors.ts";
import { isPaused, type Sandbox, sandboxOf } from "#e2b/record.ts";
import { callerOfToken, isSame, signature, TRAFFIC_TOKEN_HEADER } from "#e2b/tokens.ts";
import { finish } from "#sdk/stream.ts";
import {
  ConnectError,
  isStreaming,
  readFirst,
  readUnary,
  streamError,
  streamReply,
  timeoutOf,
  unaryError,
} from "./connect.ts";
import { type Credential, credentialOf, credentialOfPort } from "./credential.ts";
import { Files, queryOf } from "./files.ts";
import { Filesystem, listRequest, moveRequest, pathRequest } from "./filesystem.ts";
import {
  inputRequest,
  keepaliveOf,
  Processes,
  selectRequest,
  signalRequest,
  startRequest,
  updateRequest,
} from "./processes.ts";
import { Guests, type Target, userOf } from "./target.ts";
import { Watchers, watcherRequest, watchRequest } from "./watchers.ts";

/** Whose access tokens and signatures count. */
export interface Callers {
  /** Undefined for a token that is unknown, revoked or expired. */
  byId(id: string): E2bCaller | undefined;
  all(): E2bCaller[];
}

export interface EnvdOptions {
  callers: Callers;
  tokensOf(sandbox: Sandbox, caller: E2bCaller): SandboxTokens;
  /** The time of a sandbox has changed. */
  onResumed(sandbox: Sandbox): void;
}

/** Of E2B's own agent. */
const ENVD_PORT = "49983";

type Call = (target: Target, request: Request) => Promise<Response>;

export class Envd {
  readonly #options: EnvdOptions;
  readonly #files: Files;
  readonly #calls: Readonly<Record<string, Call>>;
  readonly #waking = new Map<string, Promise<Sandbox>>();

  constructor(options: EnvdOptions) {
    this.#options = options;
    const guests = new Guests();
    this.#files = new Files(guests);
    this.#calls = { ...processCalls(new Processes(guests)), ...filesystemCalls(guests) };
  }

  /** `path`: below the data plane's own. */
  async handle(request: Request, path: string, info: RequestInfo): Promise<Response> {
    const port = request.headers.get("E2b-Sandbox-Port") ?? ENVD_PORT;
    if (port !== ENVD_PORT) return await this.#forward(request, info, { port, path });
    const call = this.#calls[path];
    if (call) return await this.#rpc(request, call, info);
    try {
      const key = `${request.method} ${path}`;
      const isKnown = /^(GET|POST) \/files$|^GET \/(health|metrics|envs)$|^POST \/init$/.test(key);
      if (!isKnown) throw new E2bError(404, `no such path: ${key}`);
      const target = await this.#target(request, info);
      if (key === "GET /files") return await this.#files.download(target, request);
      if (key === "POST /files") return await this.#files.upload(target, request);
      if (key === "GET /metrics") return Response.json(await metrics(target));
      if (key === "GET /envs") return Response.json({});
      return new Response(null, { status: 204 });
    } catch (error) {
      return errorReply(error);
    }
  }

  async #rpc(request: Request, call: Call, info: RequestInfo): Promise<Response> {
    const fail = isStreaming(request) ? streamError : unaryError;
    if (request.method !== "POST") return errorReply(new E2bError(405, "method not allowed"));
    let target: Target;
    try {
      target = await this.#target(request, info);
    } catch (error) {
      // As E2B's proxy answers for a sandbox that is not there, whatever the call.
      if (error instanceof E2bError && error.status === 502) return errorReply(error);
      return fail(error);
    }
    try {
      return await call(target, request);
    } catch (error) {
      return fail(error);
    }
  }

  /** To a program in the sandbox: where all sandboxes have one address, clients name the port in a header. */
  async #forward(
    request: Request,
    info: RequestInfo,
    { port, path }: { port: string; path: string },
  ): Promise<Response> {
    try {
      if (!isPort(port)) throw badRequest("invalid E2b-Sandbox-Port");
      const authenticated = await this.#authenticated(request, info, credentialOfPort(request));
      const { vm } = await this.#awake(authenticated);
      const headers = new Headers(request.headers);
      headers.delete("X-Access-Token");
      headers.set(TRAFFIC_TOKEN_HEADER, authenticated.tokens.traffic);
      headers.set("Host", `${port}-${vm.id}.localhost`);
      const { method, body, signal } = request;
      const { search } = new URL(request.url);
      return await info.forwardToPort(
        new Request(`http://localhost${path}${search}`, { method, headers, body, signal }),
      );
    } catch (error) {
      return errorReply(error);
    }
  }

  /** The sandbox of a request that may use it; it is resumed if it is one that resumes by itself. */
  async #target(request: Request, info: RequestInfo): Promise<Target> {
    return await this.#awake(await this.#authenticated(request, info, credentialOf(request)));
  }

  async #awake({ sandbox, backend }: Authenticated): Promise<Target> {
    if (!isPaused(sandbox)) return { backend, vm: sandbox.vm };
    const { id } = sandbox.vm;
    if (!sandbox.record.autoResume) throw gone(id);
    const waking = this.#waking.get(id) ?? this.#wake(sandbox, backend);
    this.#waking.set(id, waking);
    try {
      return { backend, vm: (await waking).vm };
    } finally {
      this.#waking.delete(id);
    }
  }

  async #wake(sandbox: Sandbox, backend: Backend): Promise<Sandbox> {
    const { client } = backend;
    const { id, state } = sandbox.vm;
    const isOff = state === "stopped" || state === "stopping";
    await finish(isOff ? client.vm.start({ name: id }) : client.vm.resume({ name: id }));
    const now = await findSandbox(backend, id);
    const awake = await setTimeoutOf(backend, now, sandbox.timeout_s);
    this.#options.onResumed(awake);
    return awake;
  }

  async #authenticated(
    request: Request,
    { admit }: RequestInfo,
    { kind, token, signed, wanted }: Credential,
  ): Promise<Authenticated> {
    const { callers, tokensOf } = this.#options;
    if (token === null && signed === null) {
      admit(undefined);
      throw new E2bError(401, `access token is missing: ${wanted}`);
    }
    const named = token === null ? undefined : callers.byId(callerOfToken(token));
    const possible = token === null ? callers.all() : named ? [named] : [];
    const id = request.headers.get("E2b-Sandbox-Id") ?? idOfHost(request);
    for (const caller of possible) {
      if (!caller.mayChange) continue;
      const { backend } = caller;
      const isIts = (sandbox: Sandbox): boolean => {
        const own = tokensOf(sandbox, caller);
        return token !== null
          ? isSame(token, own[kind])
          : isSigned(request, own.access, signed ?? "");
      };
      const sandbox = (await candidates(backend, id)).find(isIts);
      if (!sandbox) continue;
      admit(caller.id);
      return { sandbox, backend, tokens: tokensOf(sandbox, caller) };
    }
    admit(undefined);
    // Of a sandbox that is gone the token tells nothing any more, and clients want to hear that it is gone.
    if (id !== undefined && named && (await candidates(named.backend, id)).length === 0) {
      throw gone(id);
    }
    throw new E2bError(401, token === null ? "invalid signature" : "invalid access token");
  }
}

interface Authenticated {
  sandbox: Sandbox;
  backend: Backend;
  tokens: SandboxTokens;
}

/** A signed URL names no sandbox where all of them have one address: then it may be any. */
async function candidates({ client }: Backend, id: string | undefined): Promise<Sandbox[]> {
  if (id === undefined) return (await client.vm.list()).flatMap((vm) => sandboxOf(vm) ?? []);
  try {
    const sandbox = sandboxOf(await client.vm.show({ name: id }));
    return sandbox?.vm.id === id ? [sandbox] : [];
  } catch (error) {
    const isMissing = error instanceof BangerError && error.code === "not_found";
    if (isMissing || !/^[a-z0-9]{1,63}$/.test(id)) return [];
    throw error;
  }
}

function processCalls(processes: Processes): Record<string, Call> {
  const at = (name: string): string => `/process.Process/${name}`;
  const streamOf = (request: Request) => ({
    timeout_ms: timeoutOf(request),
    keepalive_s: keepaliveOf(request),
  });
  return {
    [at("List")]: async (target) => Response.json(processes.list(target)),
    [at("Start")]: async (target, request) => {
      const message = await readFirst(request, startRequest);
      const options = { user: userOf(request), ...streamOf(request) };
      return streamReply(processes.start(target, message, options));
    },
    [at("Connect")]: async (target, request) => {
      const message = await readFirst(request, selectRequest);
      return streamReply(processes.connect(target, message, streamOf(request)));
    },
    [at("Update")]: async (target, request) =>
      Response.json(processes.update(target, await readUnary(request, updateRequest))),
    [at("SendInput")]: async (target, request) =>
      Response.json(await processes.sendInput(target, await readUnary(request, inputRequest))),
    [at("StreamInput")]: async (target, request) => {
      if (!isStreaming(request)) throw new ConnectError("invalid_argument", "not a stream");
      return streamReply(once(processes.streamInput(target, request)));
    },
    [at("SendSignal")]: async (target, request) =>
      Response.json(processes.signal(target, await readUnary(request, signalRequest))),
    [at("CloseStdin")]: async (target, request) =>
      Response.json(processes.closeStdin(target, await readUnary(request, selectRequest))),
  };
}

function filesystemCalls(guests: Guests): Record<string, Call> {
  const filesystem = new Filesystem(guests);
  const watchers = new Watchers(guests, filesystem);
  const at = (name: string): string => `/filesystem.Filesystem/${name}`;
  const as = userOf;
  return {
    [at("Stat")]: async (target, request) =>
      Response.json(
        await filesystem.stat(target, await readUnary(request, pathRequest), as(request)),
      ),
    [at("MakeDir")]: async (target, request) =>
      Response.json(
        await filesystem.makeDir(target, await readUnary(request, pathRequest), as(request)),
      ),
    [at("Move")]: async (target, request) =>
      Response.json(
        await filesystem.move(target, await readUnary(request, moveRequest), as(request)),
      ),
    [at("ListDir")]: async (target, request) =>
      Response.json(
        await filesystem.listDir(target, await readUnary(request, listRequest), as(request)),
      ),
    [at("Remove")]: async (target, request) =>
      Response.json(
        await filesystem.remove(target, await readUnary(request, pathRequest), as(request)),
      ),
    [at("WatchDir")]: async (target, request) => {
      const message = await readFirst(request, watchRequest);
      const timeout_ms = timeoutOf(request);
      const options = { user: as(request), timeout_ms, keepalive_s: keepaliveOf(request) };
      return streamReply(watchers.watchDir(target, message, options));
    },
    [at("CreateWatcher")]: async (target, request) =>
      Response.json(
        await watchers.create(target, await readUnary(request, watchRequest), as(request)),
      ),
    [at("GetWatcherEvents")]: async (target, request) =>
      Response.json(watchers.events(target, await readUnary(request, watcherRequest))),
    [at("RemoveWatcher")]: async (target, request) =>
      Response.json(watchers.remove(target, await readUnary(request, watcherRequest))),
  };
}

async function* once(message: Promise<unknown>): AsyncGenerator<unknown, void> {
  yield await message;
}

async function metrics({ backend, vm }: Target): Promise<object> {
  const { timestampUnix, cpuCount, cpuUsedPct, memTotal, memUsed, memCache, diskTotal, diskUsed } =
    metricsOf(await backend.client.inside.stats({ name: vm.id }));
  return {
    ts: timestampUnix,
    cpu_count: cpuCount,
    cpu_used_pct: cpuUsedPct,
    mem_total: memTotal,
    mem_used: memUsed,
    mem_cache: memCache,
    disk_total: diskTotal,
    disk_used: diskUsed,
  };
}

function isSigned(request: Request, token: string, given: string): boolean {
  const { path, user = "" } = queryOf(request);
  const { pathname, searchParams } = new URL(request.url);
  if (!pathname.endsWith("/files")) return false;
  const expiration = searchParams.get("signature_expiration");
  if (expiration !== null && !(Number(expiration) * 1000 > Date.now())) return false;
  const operation = request.method === "GET" ? "read" : "write";
  return isSame(given, signature(token, { path, operation, user, expiration }));
}

/** `49983-ID.DOMAIN`, as E2B's clients call the data plane where they were given no other address. */
function idOfHost(request: Request): string | undefined {
  return /^49983-([a-z0-9]+)\./.exec(request.headers.get("Host") ?? "")?.[1];
}

function gone(id: string): E2bError {
  return new E2bError(502, `sandbox "${id}" is not running`);
}

function isPort(text: string): boolean {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535;
}
