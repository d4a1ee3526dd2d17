/**
 * The addresses that ADD may fetch. A build downloads with the host's network, and Dockerfiles are untrusted: they
 * must not reach services that only the host can. Redirects are checked by `send`.
 */
import type { NetworkMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { proxyFor } from "#http/proxy.ts";
import { addressesOf, isAddress, isLocalhost, reachOf } from "#http/reach.ts";

/** `permission_denied` if the build's machines have no outbound network. */
export function assertMayFetch(what: string, network: NetworkMode | undefined): void {
  if (network !== "none" && network !== "host") return;
  throw new BangerError(
    "permission_denied",
    `Cannot fetch ${what}: the build has --net ${network}`,
    {
      hint: "Add the file to the build context, or build with --net nat",
    },
  );
}

export interface SourceOptions {
  /** "HOST[:PORT]" of servers in private networks that the user has listed. */
  privateHosts: readonly string[];
  /** Looks the host up. Default: addressesOf(). */
  resolve?: (url: URL) => Promise<string[]>;
}

/**
 * Throws `permission_denied` for a name that resolves to loopback or into a private network, unless it is listed, and
 * for link-local and cloud metadata addresses. An address in the URL itself means what it says.
 * Returns the checked address, to connect to that one only; undefined for https, whose certificate identifies the
 * server, and behind a proxy, which resolves the name.
 */
export async function checkSource(
  url: URL,
  { privateHosts, resolve = addressesOf }: SourceOptions,
): Promise<string | undefined> {
  const addresses = await resolve(url);
  const isListed = isPrivateHost(url, privateHosts);
  const isOpen = {
    public: true,
    private: isListed || isAddress(url),
    loopback: isListed || isLoopbackName(url),
    "link-local": false,
  };
  const closed = addresses.find((address) => !isOpen[reachOf(address)]);
  if (closed !== undefined) {
    const isOpenable = reachOf(closed) !== "link-local";
    throw new BangerError(
      "permission_denied",
      `Cannot fetch ${url.href}: Dockerfiles cannot access ${closed}`,
      {
        hint: isOpenable
          ? `If this is intended, add "${url.host}" to build.private_hosts in the configuration`
          : "Download the file yourself and add it to the build context",
      },
    );
  }
  if (url.protocol === "git:") return addresses[0];
  return url.protocol === "http:" && !proxyFor(url) ? addresses[0] : undefined;
}

function isLoopbackName(url: URL): boolean {
  return isLocalhost(url) || /^(127(\.\d+){3}|\[::1\])$/.test(url.hostname);
}

function isPrivateHost({ host, hostname }: URL, hosts: readonly string[]): boolean {
  return hosts.some((each) => [host, hostname].includes(each.toLowerCase()));
}
