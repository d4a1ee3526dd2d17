/** Detects subnets that conflict with the machines': a VPN, Docker, the LAN. */
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { runOk } from "#base/run.ts";
import { type Cidr, familyOf, overlaps, parseCidr, prefixOf } from "./address.ts";

const ROUTE_TIMEOUT_MS = 60_000;
/** Wider routes are default routes in disguise, such as the two /1 of a VPN that takes everything. */
const PREFIX_MIN = 8;

/** What `ip -json route` prints, as far as it is looked at. */
const routesOutput = z.array(z.object({ dst: z.string().default(""), dev: z.string().optional() }));

export interface Route {
  target: Cidr;
  /** Absent for routes that drop, such as "blackhole". */
  device: string | undefined;
}

/** The routes of all tables, of both families. */
export async function readRoutes(signal?: AbortSignal): Promise<Route[]> {
  const found = ["-4", "-6"].map((family) => {
    const argv = ["ip", family, "-json", "route", "show", "table", "all"];
    return runOk(argv, { timeout_ms: ROUTE_TIMEOUT_MS, signal });
  });
  return (await Promise.all(found)).flatMap(parseRoutes);
}

/** Reads `ip -json route`; entries without a plain destination, such as "default", are left out. */
export function parseRoutes(json: string): Route[] {
  if (json.trim() === "") return [];
  return routesOutput.parse(JSON.parse(json)).flatMap(({ dst, dev }): Route[] => {
    if (!/^([\d.]+|[\da-f:.]+:[\da-f:.]*)(\/\d+)?$/.test(dst)) return [];
    const target = parseCidr(dst.includes("/") ? dst : `${dst}/${dst.includes(":") ? 128 : 32}`);
    return [{ target, device: dev }];
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
  return new BangerError("conflict", `Cannot use subnet "${subnet}": it overlaps ${owner}`, {
    hint: `Set network.${familyOf(subnet) === 4 ? "subnet" : "subnet6"} to a different block in the configuration`,
  });
}
