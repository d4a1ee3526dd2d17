/** Reads from the kernel which connections a policy allowed and denied. */
import type { ConnectionLogEntry, NameLogEntry, PolicyLog } from "#api/network.ts";
import type { Policy } from "./policy.ts";
import type { Reached } from "./reached.ts";
import { type KnownAddresses, ruleCounter, SEEN_TIMEOUT_S } from "./table.ts";

export interface PolicyTable {
  counters: Map<string, number>;
  known: KnownAddresses;
  seen: (Omit<ConnectionLogEntry, "lastAt" | "name"> & { left_s: number })[];
}

/** Reads `nft -j list table`; an empty table for undefined. What has another shape is left out. */
export function parsePolicyTable(objects: readonly unknown[] = []): PolicyTable {
  const known = new Map<string, { address: string; left_s: number }[]>();
  const table: PolicyTable = { counters: new Map(), known, seen: [] };
  for (const object of objects) {
    const counter = field(object, "counter");
    if (counter) table.counters.set(text(counter, "name"), number(counter, "packets"));
    const set = field(object, "set");
    if (!set) continue;
    const name = text(set, "name");
    const elements = list(set, "elem").flatMap((each) => field(each, "elem") ?? []);
    const verdict = name.split("_")[0];
    if (verdict === "allowed" || verdict === "denied") {
      table.seen.push(...elements.flatMap((each) => parseSeen(each, verdict) ?? []));
    } else if (verdict === "name" || verdict === "name6") {
      const addresses = elements.map((each) => ({
        address: text(each, "val"),
        left_s: number(each, "expires"),
      }));
      known.set(
        name,
        addresses.filter(({ address }) => address !== ""),
      );
    }
  }
  return table;
}

export function readLog(
  table: PolicyTable,
  state: {
    policy: Policy;
    names: readonly NameLogEntry[];
    nameOf: ReadonlyMap<string, string>;
    reached: Reached;
    now_ms: number;
  },
): PolicyLog {
  const seen = table.seen.map(({ left_s, ...each }) => {
    const name = state.nameOf.get(each.address);
    const age_ms = (SEEN_TIMEOUT_S - left_s) * 1000;
    const lastAt = new Date(state.now_ms - age_ms).toISOString();
    return { ...each, name, lastAt };
  });
  const connections = [...seen, ...state.reached.list()].toSorted((a, b) =>
    b.lastAt.localeCompare(a.lastAt),
  );
  // A profile is several rules of one text.
  const counts = new Map<string, number>();
  for (const [index, { text }] of state.policy.rules.entries()) {
    const count = table.counters.get(ruleCounter(index)) ?? 0;
    counts.set(text, (counts.get(text) ?? state.reached.connectionsOf(text)) + count);
  }
  return {
    rules: [...counts].map(([rule, connections]) => ({ rule, connections })),
    denied_packets: (table.counters.get("denied") ?? 0) + state.reached.denied,
    connections,
    names: [...state.names],
    decisions: [],
  };
}

function parseSeen(element: object, verdict: "allowed" | "denied") {
  const value = field(element, "val");
  const [address, protocol, port] = value ? list(value, "concat") : [];
  if (typeof address !== "string" || protocol === undefined) return undefined;
  const counter = field(element, "counter");
  return {
    verdict,
    address,
    protocol: String(protocol),
    ...(typeof port === "number" ? { port } : {}),
    packets: counter ? number(counter, "packets") : 0,
    left_s: number(element, "expires"),
  };
}

function field(value: unknown, key: string): object | undefined {
  const found = get(value, key);
  return typeof found === "object" && found !== null ? found : undefined;
}

function list(value: unknown, key: string): unknown[] {
  const found = get(value, key);
  return Array.isArray(found) ? found : [];
}

function text(value: unknown, key: string): string {
  const found = get(value, key);
  return typeof found === "string" ? found : "";
}

function number(value: unknown, key: string): number {
  const found = get(value, key);
  return typeof found === "number" ? found : 0;
}

function get(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
