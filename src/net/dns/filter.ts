/** The interface of a DNS filter: whether a machine may resolve a name, and the addresses it got. */
import { type Answer, decode } from "dns-packet";
import { type Address, tryParseAddress } from "#net/address.ts";

/** More addresses of one name than this are as good as these. */
const MAX_ADDRESSES = 64;

/**
 * `open`: the machine may ask anything; `watched`: this name is allowed, and `onAnswer` wants its
 * addresses; `denied`: the name does not exist for this machine; `held`: nobody outside is asked before the user
 * has been, and the machine gets a placeholder.
 */
export type NameVerdict = "open" | "watched" | "denied" | "held";

export interface DnsFilter {
  judge(client: Address, name: string): NameVerdict;
  /** False when the machine asks too often. */
  mayAsk(client: Address): boolean;
  /** For a name that is `held`. */
  placeholder(client: Address, name: string): Address | undefined;
  /** The answer waits for this, so that a machine can use the addresses as soon as it has them. */
  onAnswer(
    client: Address,
    name: string,
    addresses: readonly ResolvedAddress[],
  ): Promise<void> | void;
}

export interface ResolvedAddress {
  address: Address;
  ttl_s: number;
}

/** The addresses that an answer gives to the name in its question, along its aliases. Throws for what is no message. */
export function resolvedAddresses(message: Buffer): ResolvedAddress[] {
  const { questions = [], answers = [] } = decode(message);
  const names = new Set(questions.map(({ name }) => name.toLowerCase()));
  const found: ResolvedAddress[] = [];
  // A server gives aliases before what they lead to.
  for (const record of answers) {
    if (!names.has(nameOf(record))) continue;
    if (record.type === "CNAME") names.add(record.data.toLowerCase());
    if (record.type !== "A" && record.type !== "AAAA") continue;
    const address = tryParseAddress(record.data);
    if (address && found.length < MAX_ADDRESSES) found.push({ address, ttl_s: record.ttl ?? 0 });
  }
  return found;
}

function nameOf(record: Answer): string {
  return record.name.toLowerCase();
}
