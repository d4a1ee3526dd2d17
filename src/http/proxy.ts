/**
 * Proxies from the environment, by the rules of curl and Go: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, in lower case
 * too; NO_PROXY with names, suffixes, ports, addresses and networks. Loopback needs no proxy.
 */
import { BlockList, isIP } from "node:net";
import { BangerError } from "#base/error.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const HINT = "Fix the proxy variable, then: banger daemon restart";

/** Where a request for `url` goes in place of its host; undefined when it goes there directly. */
export function proxyFor(url: URL, environment: Environment = process.env): URL | undefined {
  const scheme = url.protocol === "https:" ? "https" : "http";
  const text = read(environment, `${scheme}_proxy`) ?? read(environment, "all_proxy");
  if (text === undefined || isLoopback(hostOf(url))) return undefined;
  if (isExempt(url, read(environment, "no_proxy") ?? "")) return undefined;
  const full = /^[a-z][a-z0-9]*:\/\//i.test(text) ? text : `http://${text}`;
  const proxy = URL.canParse(full) ? new URL(full) : undefined;
  if (!proxy) {
    throw new BangerError("invalid_argument", "invalid proxy URL", {
      hint: HINT,
    });
  }
  if (["http:", "https:"].includes(proxy.protocol)) return proxy;
  throw new BangerError(
    "unsupported",
    `unsupported proxy ${shownProxy(proxy)}: expected http or https`,
    { hint: HINT },
  );
}

/** Without a login that may be in it. */
export function shownProxy(proxy: URL): string {
  return `"${proxy.protocol}//${proxy.host}"`;
}

/**
 * `fetch` by way of `proxy`, or directly. The runtime goes by its own reading of NO_PROXY whatever it is told, and reads it
 * when it is called.
 */
export function fetchBy(
  proxy: URL | undefined,
  url: URL,
  init: BunFetchRequestInit,
): Promise<Response> {
  const names = ["NO_PROXY", "no_proxy"] as const;
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = proxy ? "" : "*";
  try {
    return fetch(url, proxy ? { ...init, proxy: proxy.href } : init);
  } finally {
    for (const [index, name] of names.entries()) {
      const value = before[index];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

function read(environment: Environment, name: string): string | undefined {
  return environment[name] || environment[name.toUpperCase()] || undefined;
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || /^127(\.\d{1,3}){3}$/.test(host) || host === "::1";
}

function isExempt(url: URL, list: string): boolean {
  const host = hostOf(url);
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return list.split(/[\s,]+/).some((entry) => entry !== "" && matches(entry, host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return isInNetwork(host, entry);
  const { name, onlyPort } = splitPort(entry.toLowerCase());
  if (onlyPort !== undefined && onlyPort !== port) return false;
  if (isIP(host) !== 0) return isIP(name) !== 0 && isInNetwork(host, name);
  const suffix = name.replace(/^\*?\./, "");
  if (host.endsWith(`.${suffix}`)) return true;
  return host === suffix && suffix === name;
}

/** "host:port", "[::1]:port", and addresses of IPv6 without brackets. */
function splitPort(entry: string): { name: string; onlyPort: string | undefined } {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(entry);
  if (!match) return { name: entry, onlyPort: undefined };
  return { name: match[1] ?? match[2] ?? "", onlyPort: match[3] };
}

/** `network`: "10.0.0.0/8", "fd00::/8", or one address. */
function isInNetwork(host: string, network: string): boolean {
  const [base = "", bits] = network.split("/");
  const family = isIP(host);
  const size = bits === undefined ? (family === 6 ? 128 : 32) : Number(bits);
  if (family === 0 || isIP(base) !== family || !/^\d{1,3}$/.test(String(size))) return false;
  if (size > (family === 6 ? 128 : 32)) return false;
  const type = family === 6 ? "ipv6" : "ipv4";
  const list = new BlockList();
  list.addSubnet(base, size, type);
  return list.check(host, type);
}
