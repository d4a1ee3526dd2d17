/** Reconciles the rules and the bridge with the remaining taps. */

import { removeTables, replaceTables, tableOwner } from "#net/nft/nft.ts";
import { type DnsRedirect, renderTables } from "#net/nft/rules.ts";
import { addressOf, type Cidr } from "./address.ts";
import { intermediateOf } from "./bandwidth/bandwidth.ts";
import { ownBridge, readBridgeMark } from "./bridge.ts";
import { machineTaps, type PoolTap, poolTaps, portsOf, readDevice } from "./devices.ts";
import { applyLinks, removeCommand } from "./link.ts";
import { tableName } from "./names.ts";
import { emptyStalePolicies } from "./policy/stale.ts";

/** The rules for all that is connected to a bridge of ours now. */
function rulesOf(bridge: string): string {
  const { gateway, subnet6, dnsPort } = readBridgeMark(bridge) ?? {};
  const pool = poolTaps(bridge);
  const dnsRedirect = redirectOf(gateway, dnsPort, pool);
  const taps = [...machineTaps(bridge), ...pool];
  return renderTables({ table: tableName(bridge), bridge, taps, subnet6, dnsRedirect });
}

/** Puts them in place, together with `more` in one transaction. */
export async function applyRules(bridge: string, more = ""): Promise<void> {
  await replaceTables(tableName(bridge), `${rulesOf(bridge)}${more}`);
}

/**
 * Removes the named taps that are there with what limits them, and the bridge and the tables when no port is left;
 * `more` goes with the rules. The tables go before the devices, so that after a crash in between
 * the devices still tell of it.
 */
export async function settle(
  bridge: string,
  { remove, more = "" }: { remove: readonly string[]; more?: string },
): Promise<void> {
  const table = tableName(bridge);
  // What frames are led through goes before their tap: after a crash in between the tap still tells of it.
  const all = [...remove.flatMap((tap) => intermediateOf(tap) ?? []), ...remove];
  const gone = new Set(all.filter((name) => readDevice(name)));
  const isLast = portsOf(bridge).every((port) => gone.has(port));
  if (isLast && ownBridge(bridge)) gone.add(bridge);
  // The tables come with the bridge: look for them only if the bridge was removed.
  const isTableOurs = async (): Promise<boolean> =>
    gone.has(bridge) || (await tableOwner(table)) === "banger";
  try {
    if (isLast && (await isTableOurs())) {
      await removeTables(table, `${more}${await emptyStalePolicies()}`);
    }
  } finally {
    await applyLinks([...gone].map(removeCommand));
  }
  if (!isLast && ownBridge(bridge)) await applyRules(bridge, more);
}

function redirectOf(
  gateway: Cidr | undefined,
  port: number | undefined,
  [tap]: readonly PoolTap[],
): DnsRedirect | undefined {
  if (!gateway || !port || !tap) return undefined;
  return { gateway: addressOf(gateway), port, user_uid: tap.user_uid };
}
