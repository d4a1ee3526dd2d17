/** Reads the head of an HTTP/1 request as strictly as it takes for no server to read it in another way. */

export const MAX_HEAD_BYTES = 64 * 1024;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export interface RequestHead {
  method: string;
  /** As it is sent on: without headers that would switch to a protocol which is not read here. */
  bytes: Buffer;
  /** Of the Host header, and of the target where that names one. */
  authority: string;
  body: { kind: "none" } | { kind: "length"; left_bytes: number } | { kind: "chunked" };
  /** It asks for a WebSocket. */
  isUpgrade: boolean;
}

/** A request that the proxy refuses; the message is the reason. */
export class RequestError extends Error {}

/** `head` ends with its empty line. `mayUpgrade`: whether it may ask for a WebSocket. */
export function parseRequestHead(
  head: Buffer,
  { mayUpgrade }: { mayUpgrade: boolean },
): RequestHead {
  const text = head.toString("latin1");
  const lines = text.slice(0, -4).split("\r\n");
  if (lines.some((line) => /[\r\n\0]/.test(line))) throw new RequestError("malformed HTTP request");
  const [first = "", ...fields] = lines;
  const { method, target, version } = parseRequestLine(first);
  const headers = new Map<string, string[]>();
  for (const field of fields) {
    const [, name = "", value = ""] = /^([^:]*):[ \t]*(.*?)[ \t]*$/.exec(field) ?? [];
    if (!TOKEN.test(name)) throw new RequestError("malformed HTTP header");
    const key = name.toLowerCase();
    headers.set(key, [...(headers.get(key) ?? []), value]);
  }
  const authority = authorityOf(target, headers.get("host") ?? []);
  const upgrade = (headers.get("upgrade") ?? []).join(",").toLowerCase();
  const isUpgrade = mayUpgrade && upgrade === "websocket";
  const kept = isUpgrade
    ? lines
    : lines.filter((line, index) => index === 0 || !/^(upgrade|http2-settings):/i.test(line));
  return {
    method,
    bytes: Buffer.from(`${kept.join("\r\n")}\r\n\r\n`, "latin1"),
    authority,
    body: bodyOf(headers, version),
    isUpgrade,
  };
}

function parseRequestLine(line: string) {
  const [, method = "", target = "", version = ""] =
    /^([^ ]+) ([!-~]+) HTTP\/(1\.[01])$/.exec(line) ?? [];
  if (!TOKEN.test(method)) throw new RequestError("malformed HTTP request line");
  // To an allowed host that is a proxy itself.
  if (method.toUpperCase() === "CONNECT") throw new RequestError("HTTP CONNECT is not allowed");
  return { method, target, version };
}

function authorityOf(target: string, hosts: readonly string[]): string {
  const [host = ""] = hosts;
  if (hosts.length !== 1 || host === "") {
    throw new RequestError("HTTP request without exactly one Host header");
  }
  if (target.startsWith("/") || target === "*") return host.toLowerCase();
  // A server goes by the target, whatever Host says.
  const [, named = ""] = /^http:\/\/([^/?#@]+)([/?#]|$)/i.exec(target) ?? [];
  if (named.toLowerCase() === host.toLowerCase()) return host.toLowerCase();
  throw new RequestError("the HTTP request's target and Host header differ");
}

function bodyOf(
  headers: ReadonlyMap<string, readonly string[]>,
  version: string,
): RequestHead["body"] {
  const encodings = headers.get("transfer-encoding");
  const lengths = headers.get("content-length");
  if (encodings) {
    const isChunked = encodings.length === 1 && encodings[0]?.toLowerCase() === "chunked";
    if (isChunked && !lengths && version === "1.1") return { kind: "chunked" };
    throw new RequestError("HTTP request with an ambiguous length");
  }
  if (!lengths) return { kind: "none" };
  const [length = ""] = lengths;
  if (lengths.length !== 1 || !/^\d{1,15}$/.test(length)) {
    throw new RequestError("HTTP request with an ambiguous length");
  }
  const left_bytes = Number(length);
  return left_bytes === 0 ? { kind: "none" } : { kind: "length", left_bytes };
}

/** "example.com:8080" as a name or address and a port; undefined for what is neither. */
export function splitAuthority(
  authority: string,
): { host: string; port?: number | undefined } | undefined {
  const [, bracketed, plain, portText] =
    /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(authority.toLowerCase()) ?? [];
  const host = bracketed ?? plain?.replace(/\.$/, "");
  if (!host) return undefined;
  if (!bracketed && !/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host)) return undefined;
  return { host, port: portText === undefined ? undefined : Number(portText) };
}
