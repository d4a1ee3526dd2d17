/** Finds out whether somebody else uses the machines' subnet already: a VPN, Docker, the LAN. */
import { BangerError } from "#base/error.ts";
import { runOk } from "#base/run.ts";
import { type Cidr, overlaps, parseCidr, prefixOf } from "./address.ts";

const ROUTE_TIMEOUT_MS = 10_000;
/** Wider routes are default routes in disguise, such as the two /1 of a VPN that takes everything. */
const PREFIX_MIN = 8;

export interface Route {
  target: Cidr;
  /** Absent for routes that drop, such as "blackhole". */
  device: string | undefined;
}

/** The IPv4 routes of all tables. */
export async function readRoutes(signal?: AbortSignal): Promise<Route[]> {
  const argv = ["ip", "-4", "-json", "route", "show", "table", "all"];
  return parseRoutes(await runOk(argv, { timeout_ms: ROUTE_TIMEOUT_MS, signal }));
}

/** Reads `ip -json route`; entries without a plain destination, such as "default", are left out. */
export function parseRoutes(json: string): Route[] {
  const entries: unknown = json.trim() === "" ? [] : JSON.parse(json);
  return (Array.isArray(entries) ? entries : []).flatMap((entry: unknown): Route[] => {
    const { dst, dev } = (entry ?? {}) as { dst?: unknown; dev?: unknown };
    if (typeof dst !== "string" || !/^[\d.]+(\/\d+)?$/.test(dst)) return [];
    const target = parseCidr(dst.includes("/") ? dst : `${dst}/32`);
    return [{ target, device: typeof dev === "string" ? dev : undefined }];
  });
}

/** The first route into the subnet that does not lead to `bridge`. */
export function findOverlap(
  subnet: Cidr,
  { bridge, routes }: { bridge: string; routes: readonly Route[] },
): Route | undefined {
  return routes.find(
    ({ target, device }) =>
      device !== bridge && prefixOf(target) >= PREFIX_MIN && overlaps(target, subnet),
  );
}

/** `conflict` that names the other device and what to change. */
export function overlapError(subnet: Cidr, { target, device }: Route): BangerError {
  const owner = device ? `"${target}" on "${device}"` : `"${target}"`;
  return new BangerError(
    "conflict",
    `Cannot use the subnet "${subnet}" for machines: it overlaps ${owner}`,
    { hint: "Set network.subnet to another block in the configuration" },
  );
}
