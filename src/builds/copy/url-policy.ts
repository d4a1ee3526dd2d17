/**
 * The addresses that ADD may fetch. A build downloads with the host's network, and Dockerfiles are untrusted: they
 * must not reach services that only the host can. Redirects are checked by `send`.
 */
import type { NetworkMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { proxyFor } from "#http/proxy.ts";
import { addressesOf, isLocalhost, reachOf } from "#http/reach.ts";

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

/**
 * Throws `permission_denied` for a name that resolves to loopback, and for link-local and cloud metadata addresses.
 * Returns the checked address, to connect to that one only; undefined for https, whose certificate identifies the
 * server, and behind a proxy, which resolves the name.
 */
export async function checkSource(url: URL): Promise<string | undefined> {
  const addresses = await addressesOf(url);
  const closed = addresses.find((address) => {
    const reach = reachOf(address);
    return reach === "link-local" || (reach === "loopback" && !isLoopbackName(url));
  });
  if (closed !== undefined) {
    throw new BangerError(
      "permission_denied",
      `Cannot fetch ${url.href}: Dockerfiles cannot access ${closed}`,
      { hint: "Download the file yourself and add it to the build context" },
    );
  }
  if (url.protocol === "git:") return addresses[0];
  return url.protocol === "http:" && !proxyFor(url) ? addresses[0] : undefined;
}

function isLoopbackName(url: URL): boolean {
  return isLocalhost(url) || /^(127(\.\d+){3}|\[::1\])$/.test(url.hostname);
}
