/**
 * What ADD may fetch. A build downloads with the host's network, and Dockerfiles are other people's: they must not
 * come to what only this computer reaches. Where a server sends us on is `send`'s to judge.
 */
import type { NetworkMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { proxyFor } from "#http/proxy.ts";
import { addressesOf, isLocalhost, reachOf } from "#http/reach.ts";

/** `permission_denied` where the machine of the build has no way out either. */
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
 * Throws `permission_denied` for an address or name that leads to loopback without saying so, to link-local
 * addresses or to a cloud's metadata. Gives the address that was looked at, to connect to no other; undefined where a
 * certificate says who is there, or a proxy looks the name up.
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
