/** The list of mirrors as the configuration has it. */
import { BangerError } from "#base/error.ts";
import { DOCKER_HUB } from "#oci/reference.ts";
import { endpointsOf } from "./endpoint.ts";

/** "MIRROR" stands for docker.io, "REGISTRY=MIRROR" for another; several for one keep their order. */
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
  // A mirror of the wrong form is said when the daemon starts, and not at the first pull.
  for (const registry of Object.keys(mirrors)) endpointsOf(registry, { mirrors });
  return mirrors;
}
