/** Parses the mirrors in the configuration. */
import { BangerError } from "#base/error.ts";
import { DOCKER_HUB } from "#oci/reference.ts";
import { endpointsOf } from "./endpoint.ts";

/**
 * "MIRROR" is a mirror of docker.io, "REGISTRY=MIRROR" of another registry. Mirrors of one registry keep their order.
 */
export function parseMirrors(entries: readonly string[]): Record<string, string[]> {
  const mirrors: Record<string, string[]> = {};
  for (const entry of entries) {
    const at = entry.indexOf("=");
    const registry = at < 0 ? DOCKER_HUB : entry.slice(0, at).trim().toLowerCase();
    const mirror = entry.slice(at + 1).trim();
    if (registry === "" || /[\s/]/.test(registry) || mirror === "") {
      throw new BangerError("invalid_argument", `invalid mirror "${entry}" in the configuration`, {
        hint: 'Use "mirror.example:5000", or "ghcr.io=mirror.example" for a registry other than docker.io',
      });
    }
    mirrors[registry] = [...(mirrors[registry] ?? []), mirror];
  }
  // Reports a malformed mirror when the daemon starts, not at the first pull.
  for (const registry of Object.keys(mirrors)) endpointsOf(registry, { mirrors });
  return mirrors;
}
