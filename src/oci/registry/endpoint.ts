/** The servers of a registry: its mirrors in order, then the registry itself. */
import { BangerError } from "#base/error.ts";
import { DOCKER_HUB } from "#oci/reference.ts";

export interface Endpoint {
  /** Name for messages and credential lookup: "docker.io", "mirror.local:5000". */
  host: string;
  /** Ends with "/v2/". */
  base: URL;
}

export interface EndpointOptions {
  /** Hosts ("registry.local:5000") that use plain HTTP. Loopback always does. */
  insecureRegistries?: readonly string[] | undefined;
  /** Registry ("docker.io") → its mirrors: a host, or "http(s)://HOST[:PORT][/PREFIX]". */
  mirrors?: Readonly<Record<string, readonly string[]>> | undefined;
}

export function endpointsOf(registry: string, options: EndpointOptions): Endpoint[] {
  const mirrors = options.mirrors ?? {};
  const named = Object.hasOwn(mirrors, registry) ? (mirrors[registry] ?? []) : [];
  return [
    ...named.map((mirror) => mirrorEndpoint(mirror, options)),
    { host: registry, base: new URL(`${schemeOf(registry, options)}://${serverOf(registry)}/v2/`) },
  ];
}

function mirrorEndpoint(mirror: string, options: EndpointOptions): Endpoint {
  const text = /^https?:\/\//.test(mirror) ? mirror : `${schemeOf(mirror, options)}://${mirror}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.search || url.hash || url.username || url.password) {
    throw new BangerError("invalid_argument", "invalid mirror address", {
      hint: 'Use "mirror.example:5000" or "https://mirror.example/prefix"',
    });
  }
  const base = new URL(`${url.origin}${url.pathname.replace(/\/+$/, "")}/v2/`);
  return { host: url.host, base };
}

function serverOf(registry: string): string {
  return registry === DOCKER_HUB ? "registry-1.docker.io" : registry;
}

function schemeOf(registry: string, options: EndpointOptions): "http" | "https" {
  const host = registry.replace(/\/.*$/, "").toLowerCase();
  const name = host.replace(/:\d+$/, "");
  const isListed = options.insecureRegistries?.some((entry) => entry.toLowerCase() === host);
  return isLoopbackName(name) || isListed ? "http" : "https";
}

export function isLoopback(url: URL): boolean {
  return isLoopbackName(url.hostname);
}

function isLoopbackName(name: string): boolean {
  return name === "localhost" || /^127(\.\d{1,3}){3}$/.test(name) || name === "[::1]";
}
