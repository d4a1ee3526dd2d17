/** HTTP requests. Redirects are followed here, so that credentials stay with their host. */
import { abortError } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { discard } from "./body.ts";
import { NO_SUCH_HOST, PROXY_LOGIN_HINT, TransferError, unreachable } from "./failure.ts";
import { fetchBy, proxyFor, shownProxy } from "./proxy.ts";
import { checkReach } from "./reach.ts";

const MAX_REDIRECTS = 5;
const USER_AGENT = "banger";

export interface Request {
  url: URL;
  method?: "GET" | "HEAD" | "POST" | "PUT";
  headers?: Record<string, string> | undefined;
  /** Sent to the origin of `url` only, never to where a redirect leads. */
  authorization?: string | undefined;
  body?: string | Uint8Array | ReadableStream<Uint8Array>;
  signal: AbortSignal;
  /** The server on whose word `url` is asked, when it is another one. */
  home?: URL | undefined;
  /** "HOST:PORT" of servers that may be asked wherever they are. */
  trusted?: readonly string[] | undefined;
  /** Where plain HTTP to the host of `url` connects to, whatever its name means by now. */
  address?: string | undefined;
}

export interface Answer {
  response: Response;
  /** The answer comes from another origin than the one that was asked. */
  isRedirected: boolean;
  /** Who has answered, behind all redirects. */
  url: URL;
}

/** Gives the answer whatever its status. Throws TransferError, or the signal's reason. */
export async function send(request: Request): Promise<Answer> {
  const { home = request.url, trusted } = request;
  let url = request.url;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const isHome = url.origin === request.url.origin;
    const isPinned = url.hostname === request.url.hostname && url.protocol === "http:";
    const pinned = isPinned ? request.address : undefined;
    const address = pinned ?? (await checkReach(url, { home, trusted }));
    const response = await sendOnce(request, url, { isHome, address });
    const location = response.headers.get("location");
    const isRedirect = [301, 302, 303, 307, 308].includes(response.status) && location !== null;
    const isSent = request.method === "POST" || request.method === "PUT";
    if (!isRedirect || isSent) return { response, isRedirected: !isHome, url };
    await discard(response);
    url = checkTarget(location, url);
  }
  throw new TransferError(
    "unavailable",
    `Cannot reach "${request.url.host}": too many redirects (${MAX_REDIRECTS})`,
  );
}

/** Makes an error of the network layer one of ours; what the signal says passes through. */
export function networkFailure(error: unknown, url: URL, signal: AbortSignal): unknown {
  if (signal.aborted) return abortError(signal);
  if (error instanceof BangerError) return error;
  const code = codeOf(error);
  const host = url.host;
  const proxy = proxyFor(url);
  const asked = proxy ? `proxy ${shownProxy(proxy)} from the environment` : `"${host}"`;
  if (code === "ECONNREFUSED") return unreachable(asked, "connection refused", error);
  if (code === "ENOTFOUND") return unreachable(asked, NO_SUCH_HOST, error);
  if (/^E(HOSTUNREACH|NETUNREACH|HOSTDOWN)$/.test(code)) {
    return unreachable(asked, "no route to host", error);
  }
  if (code === "ERR_PROXY_TUNNEL" && proxy) return noTunnel(host, proxy, error);
  if (code === "EPROTO" || /CERT|SIGNATURE|TLS|SSL/.test(code)) {
    return new TransferError("unavailable", `Cannot reach "${host}": TLS error (${code})`, {
      isUnreachable: true,
      hint: `If the registry uses plain HTTP, add "${host}" to registry.insecure in the configuration`,
      cause: error,
    });
  }
  const by = proxy ? ` through proxy ${shownProxy(proxy)}` : "";
  return new TransferError("unavailable", `Cannot read from "${host}"${by}: connection reset`, {
    isTemporary: true,
    hint: "Run the same command again to resume",
    cause: error,
  });
}

async function sendOnce(
  request: Request,
  url: URL,
  { isHome, address }: { isHome: boolean; address: string | undefined },
): Promise<Response> {
  const { method = "GET", headers, authorization, body, signal } = request;
  const init: BunFetchRequestInit & { decompress: boolean } = {
    method,
    headers: {
      "user-agent": USER_AGENT,
      "accept-encoding": "identity",
      ...headers,
      ...(authorization && isHome ? { authorization } : {}),
      ...(address ? { host: url.host } : {}),
    },
    redirect: "manual",
    // A digest speaks of the bytes as they are sent, and fetch undoes only the first member of a gzip file.
    decompress: false,
    signal,
    body: body as BodyInit | undefined,
  };
  try {
    return await fetchBy(proxyFor(url), address ? atAddress(url, address) : url, init);
  } catch (error) {
    throw networkFailure(error, url, signal);
  }
}

function checkTarget(location: string, from: URL): URL {
  const url = URL.canParse(location, from) ? new URL(location, from) : undefined;
  const isKept = url?.protocol === from.protocol;
  const isUpgraded = url?.protocol === "https:" && from.protocol === "http:";
  if (url && (isKept || isUpgraded)) return url;
  throw new TransferError(
    "unavailable",
    `Cannot reach "${from.host}": redirect from https to http`,
  );
}

/** The runtime's message ends in the proxy's status line. */
function noTunnel(host: string, proxy: URL, cause: unknown): TransferError {
  const answer = /: (\d{3}[ -~]{0,80})$/.exec(messageOf(cause))?.[1] ?? "no status";
  const needsLogin = answer.startsWith("407");
  return new TransferError(
    "unavailable",
    `Cannot reach "${host}": proxy ${shownProxy(proxy)} responded with ${answer}`,
    {
      isTemporary: /^50[34]/.test(answer),
      hint: needsLogin ? PROXY_LOGIN_HINT : "Check the proxy, or add the host to NO_PROXY",
      cause,
    },
  );
}

function atAddress(url: URL, address: string): URL {
  const result = new URL(url);
  result.hostname = address.includes(":") ? `[${address}]` : address;
  return result;
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}
