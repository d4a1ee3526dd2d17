/** Resolves names on behalf of a machine whose user has allowed them. */
import { encode } from "dns-packet";
import { type ResolvedAddress, resolvedAddresses } from "#net/dns/filter.ts";
import { parseQuery } from "#net/dns/query.ts";
import type { askUpstream, Resolver } from "#net/dns/upstream.ts";

const FLAG_RECURSION_DESIRED = 0x0100;

export type ResolveName = (
  name: string,
  signal: AbortSignal,
) => Promise<readonly ResolvedAddress[]>;

/** By the host's resolvers: IPv4 first, as a guest without a route for IPv6 does. */
export function resolverBy(
  ask: typeof askUpstream,
  resolvers: () => readonly Resolver[],
): ResolveName {
  return async (name, signal) => {
    const found = await Promise.all(
      (["A", "AAAA"] as const).map(async (type) => {
        const questions = [{ name, type }];
        const message = encode({ type: "query", id: 0, flags: FLAG_RECURSION_DESIRED, questions });
        const query = parseQuery(message);
        if (!query || "rcode" in query) return [];
        const answer = await ask(query, resolvers(), signal).catch(() => undefined);
        return answer ? resolvedAddresses(answer) : [];
      }),
    );
    return found.flat();
  };
}
