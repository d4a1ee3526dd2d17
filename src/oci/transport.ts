/** HTTP requests: redirects followed by hand, so that credentials stay with their host, and errors that say what is the case. */
import { BangerError } from "#base/error.ts";
import { discard } from "./body.ts";
import { TransferError } from "./failure.ts";

const MAX_REDIRECTS = 5;
const USER_AGENT = "banger";

export interface Request {
  url: URL;
  method?: "GET" | "HEAD" | "POST" | "PUT";
  headers?: Record<string, string>;
  /** Sent to the origin of `url` only, never to where a redirect leads. */
  authorization?: string | undefined;
  body?: string | Uint8Array | ReadableStream<Uint8Array>;
  signal: AbortSignal;
}

export interface Answer {
  response: Response;
  /** The answer comes from another origin than the one that was asked. */
  isRedirected: boolean;
}

/** Gives the answer whatever its status. Throws TransferError, or the signal's reason. */
export async function send(request: Request): Promise<Answer> {
  let url = request.url;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const isHome = url.origin === request.url.origin;
    const response = await sendOnce(request, url, isHome);
    const location = response.headers.get("location");
    const isRedirect = [301, 302, 303, 307, 308].includes(response.status) && location !== null;
    const isSent = request.method === "POST" || request.method === "PUT";
    if (!isRedirect || isSent) return { response, isRedirected: !isHome };
    await discard(response);
    url = checkTarget(location, url);
  }
  throw new TransferError(
    "unavailable",
    `Cannot reach "${request.url.host}": it redirects more than ${MAX_REDIRECTS} times`,
  );
}

/** Makes an error of the network layer one of ours; what the signal says passes through. */
export function networkFailure(error: unknown, url: URL, signal: AbortSignal): unknown {
  if (signal.aborted) return abortReason(signal);
  if (error instanceof BangerError) return error;
  const code = codeOf(error);
  const host = url.host;
  if (code === "ECONNREFUSED") return unreachable(host, "the connection is refused", error);
  if (code === "ENOTFOUND") return unreachable(host, "there is no host of that name", error);
  if (/^E(HOSTUNREACH|NETUNREACH|HOSTDOWN)$/.test(code)) {
    return unreachable(host, "there is no route to it", error);
  }
  if (code === "EPROTO" || /CERT|SIGNATURE|TLS|SSL/.test(code)) {
    return new TransferError("unavailable", `Cannot reach "${host}": TLS does not work (${code})`, {
      isUnreachable: true,
      hint: `If the registry speaks plain HTTP, add "${host}" to the insecure registries in the config`,
      cause: error,
    });
  }
  return new TransferError("unavailable", `Cannot read from "${host}": the connection was cut`, {
    isTemporary: true,
    hint: "Run the same command again: it goes on where it stopped",
    cause: error,
  });
}

async function sendOnce(request: Request, url: URL, isHome: boolean): Promise<Response> {
  const { method = "GET", headers, authorization, body, signal } = request;
  const init: BunFetchRequestInit & { decompress: boolean } = {
    method,
    headers: {
      "user-agent": USER_AGENT,
      "accept-encoding": "identity",
      ...headers,
      ...(authorization && isHome ? { authorization } : {}),
    },
    redirect: "manual",
    // A digest speaks of the bytes as they are sent, and fetch undoes only the first member of a gzip file.
    decompress: false,
    signal,
    ...(body === undefined ? {} : { body: body as BodyInit }),
  };
  try {
    return await fetch(url, init);
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
    `Cannot reach "${from.host}": it redirects to where no secure connection leads`,
  );
}

function abortReason(signal: AbortSignal): unknown {
  if (signal.reason instanceof BangerError) return signal.reason;
  return new BangerError("cancelled", "The operation was cancelled", { cause: signal.reason });
}

function unreachable(host: string, why: string, cause: unknown): TransferError {
  return new TransferError("unavailable", `Cannot reach "${host}": ${why}`, {
    isUnreachable: true,
    hint: "Check the name in the reference, the network, and that the registry runs",
    cause,
  });
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}
