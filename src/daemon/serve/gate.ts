/**
 * Protects the API from web pages of others. A browser sends requests for any page: to names that the page's owner
 * points at this host (DNS rebinding), and across origins. Both are refused before the rest of the request is read.
 */
import { BangerError } from "#base/error.ts";
import { isLoopback, tryParseAddress } from "#net/address.ts";

export interface GateOptions {
  /** Host names of the server besides those of loopback. */
  hosts: readonly string[];
  /** Accept any address as Host, since the server also listens beyond loopback. */
  isPublic: boolean;
  scheme: "http" | "https";
}

export interface Authority {
  /** Lower case, an IPv6 address without brackets. */
  hostname: string;
  /** As in the header. */
  host: string;
}

/**
 * Throws `permission_denied` for a request that is not meant for this server, or comes from another origin.
 * `mayNavigate`: a link elsewhere may lead there, since the page is anybody's and cannot be framed.
 */
export function checkOrigin(
  headers: Headers,
  options: GateOptions,
  { mayNavigate = false } = {},
): Authority {
  const authority = parseHost(headers.get("Host"));
  if (!authority || !isOurs(authority.hostname, options)) {
    throw refused(`unknown Host "${shown(headers.get("Host"))}"`, {
      hint: "Use an address of this host, or name it in the configuration: serve.hosts",
    });
  }
  const site = headers.get("Sec-Fetch-Site");
  const isNavigation =
    headers.get("Sec-Fetch-Mode") === "navigate" && headers.get("Sec-Fetch-Dest") === "document";
  const isAllowed = site === null || site === "same-origin" || site === "none";
  if (!isAllowed && !(mayNavigate && isNavigation)) {
    throw refused(`cross-origin request (Sec-Fetch-Site: ${shown(site)})`);
  }
  const origin = headers.get("Origin");
  if (origin !== null && !isSameOrigin(origin, authority, options)) {
    throw refused(`cross-origin request from "${shown(origin)}"`);
  }
  return authority;
}

/** Undefined unless it is a host with an optional port. */
export function parseHost(text: string | null): Authority | undefined {
  const match = /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9.-]{1,253}))(?::\d{1,5})?$/i.exec(text ?? "");
  const hostname = (match?.[1] ?? match?.[2])?.toLowerCase();
  return match && hostname ? { hostname, host: match[0].toLowerCase() } : undefined;
}

/** The name below which the ports of machines are: "3000-web.localhost" is below "localhost". */
export function isOurs(hostname: string, { hosts, isPublic }: GateOptions): boolean {
  if (hostname === "localhost" || hosts.includes(hostname)) return true;
  // DNS rebinding needs a name: an address in the URL cannot be made to mean another host.
  return isPublic ? tryParseAddress(hostname) !== undefined : isLoopback(hostname);
}

function isSameOrigin(text: string, { host, hostname }: Authority, options: GateOptions): boolean {
  const own = [options.scheme];
  // Behind a proxy that terminates TLS.
  if (options.hosts.includes(hostname)) own.push("https");
  return own.some((scheme) => text.toLowerCase() === `${scheme}://${host}`);
}

function refused(why: string, options: { hint?: string } = {}): BangerError {
  return new BangerError("permission_denied", `refused: ${why}`, options);
}

/** Untrusted text for an error message. */
function shown(text: string | null): string {
  return (text ?? "").replaceAll(/[^\x21-\x7e]/g, "?").slice(0, 100);
}
