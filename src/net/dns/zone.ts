/** Answers for the `.vm` zone and the reverse names of the machines' addresses. */
import type { Answer, SoaAnswer } from "dns-packet";
import { type Address, type Cidr, contains, familyOf, tryParseAddress } from "#net/address.ts";
import { CLASS_IN, type Query, Rcode, RecordType } from "./query.ts";
import type { Reply } from "./reply.ts";

export const ZONE = "vm";
/** Machines come and go, and a repeated query on the same host is cheap. */
const TTL_S = 5;

/** Who is who. `client` is the machine that asks, undefined for the host. */
export interface Names {
  /** Of the machine "name"; empty when it has none, undefined when there is no such machine. */
  addressesOf(name: string, client: Address | undefined): readonly Address[] | undefined;
  nameOf(address: Address, client: Address | undefined): string | undefined;
}

export interface ZoneOptions {
  names: Names;
  client: Address | undefined;
  /** Reverse zones of these blocks are authoritative here. */
  subnets: readonly Cidr[];
}

/** Undefined for what is not of this zone. */
export function answerFromZone(query: Query, options: ZoneOptions): Reply | undefined {
  const labels = query.name.split(".");
  if (labels.at(-1) === ZONE) return answerName(query, labels, options);
  const address = addressOfReverse(query.name);
  return address === undefined ? undefined : answerReverse(query, address, options);
}

function answerName(query: Query, labels: string[], { names, client }: ZoneOptions): Reply {
  if (query.class !== CLASS_IN) return { rcode: Rcode.refused };
  if (labels.length === 1) {
    const answers = query.type === RecordType.SOA ? [soa()] : [];
    return { rcode: Rcode.ok, answers, authorities: [soa()], isAuthoritative: true };
  }
  const [name = ""] = labels;
  const addresses = labels.length === 2 ? names.addressesOf(name, client) : undefined;
  if (!addresses) return nothing(Rcode.noSuchName);
  const answers = addresses.flatMap((address): Answer[] => {
    const type = familyOf(address) === 4 ? "A" : "AAAA";
    const isAskedFor = query.type === RecordType[type] || query.type === RecordType.ANY;
    return isAskedFor ? [{ type, name: query.name, ttl: TTL_S, data: address }] : [];
  });
  return answers.length > 0 ? found(answers) : nothing(Rcode.ok);
}

function answerReverse(query: Query, address: Address, options: ZoneOptions): Reply | undefined {
  const name = options.names.nameOf(address, options.client);
  if (name === undefined) {
    const isOurs = options.subnets.some((subnet) => contains(subnet, address));
    return isOurs ? nothing(Rcode.noSuchName) : undefined;
  }
  if (query.type !== RecordType.PTR && query.type !== RecordType.ANY) return nothing(Rcode.ok);
  return found([{ type: "PTR", name: query.name, ttl: TTL_S, data: `${name}.${ZONE}` }]);
}

/** "7.0.241.10.in-addr.arpa" is 10.241.0.7; 32 hexadecimal digits before "ip6.arpa" (RFC 3596). */
export function addressOfReverse(name: string): Address | undefined {
  const labels = name.split(".").reverse();
  if (labels[0] !== "arpa") return undefined;
  const rest = labels.slice(2);
  if (labels[1] === "in-addr" && rest.length === 4) return tryParseAddress(rest.join("."));
  if (labels[1] !== "ip6" || rest.length !== 32) return undefined;
  if (!rest.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return tryParseAddress(rest.join("").match(/.{4}/g)?.join(":") ?? "");
}

function found(answers: Answer[]): Reply {
  return { rcode: Rcode.ok, answers, isAuthoritative: true };
}

/** With the record that says for how long "nothing" holds (RFC 2308). */
function nothing(rcode: number): Reply {
  return { rcode, authorities: [soa()], isAuthoritative: true };
}

function soa(): SoaAnswer {
  return {
    type: "SOA",
    name: ZONE,
    ttl: TTL_S,
    data: {
      mname: `ns.${ZONE}`,
      rname: `root.${ZONE}`,
      serial: 1,
      refresh: 3600,
      retry: 600,
      expire: 86_400,
      minimum: TTL_S,
    },
  };
}
