/** Answers DNS queries, bytes to bytes, without sockets. */
import { type Address, type Cidr, contains } from "#net/address.ts";
import { type DnsFilter, resolvedAddresses } from "./filter.ts";
import { CLASS_IN, parseQuery, type Query, Rcode, RecordType } from "./query.ts";
import { encodeBadReply, encodeBadVersion, encodeReply, type Reply, relayReply } from "./reply.ts";
import { askUpstream, type Resolver } from "./upstream.ts";
import { answerFromZone, type Names } from "./zone.ts";

/** Questions that wait for the host's resolvers; beyond these the answer is an error at once. */
const MAX_PENDING = 256;
const MAX_PENDING_OF_CLIENT = 64;
const ANSWER_TIMEOUT_MS = 10_000;
const FILTERED_TEXT = "not allowed by the machine's policy";

export interface AnswererOptions {
  names: Names;
  /** Asked anew for each question, for they change while the daemon runs. */
  resolvers: () => readonly Resolver[];
  /** Where this process cannot reach the resolvers itself; default: `askUpstream`. */
  ask?: typeof askUpstream | undefined;
  filter?: DnsFilter | undefined;
}

export interface Origin {
  address: Address;
  /** The subnet that the server listens for; undefined for the host's own programs. */
  subnet: Cidr | undefined;
  subnet6?: Cidr | undefined;
  udp: boolean;
}

export class Answerer {
  readonly #options: AnswererOptions;
  readonly #pending = new Map<Address, number>();
  readonly #closing = new AbortController();
  #pendingTotal = 0;

  constructor(options: AnswererOptions) {
    this.#options = options;
  }

  close(): void {
    this.#closing.abort();
  }

  /** Undefined where silence is the answer. Never rejects. */
  async answer(message: Buffer, origin: Origin): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if (!query) return undefined;
    if ("rcode" in query) return encodeBadReply(query);
    if (query.edns && query.edns.version !== 0) return encodeBadVersion(query);
    const { udp } = origin;
    // Not silence: a C library waits for seconds before it asks again.
    if (isMachine(origin) && this.#options.filter?.mayAsk(origin.address) === false) {
      return encodeReply(query, { rcode: Rcode.refused }, { udp });
    }
    const reply = this.#ownReply(query, origin);
    if (reply) return encodeReply(query, reply, { udp });
    try {
      return await this.#forward(query, origin);
    } catch {
      return encodeReply(query, { rcode: Rcode.serverFailure }, { udp });
    }
  }

  /** What can be said without asking anybody; undefined for what has to be forwarded. */
  #ownReply(query: Query, origin: Origin): Reply | undefined {
    const ofMachine = isMachine(origin);
    const own = answerFromZone(query, {
      names: this.#options.names,
      client: ofMachine ? origin.address : undefined,
      subnets: [origin.subnet, origin.subnet6].filter((each) => each !== undefined),
    });
    if (own) return own;
    const isTransfer = query.type === RecordType.AXFR || query.type === RecordType.IXFR;
    if (!ofMachine || isTransfer || query.class !== CLASS_IN) return { rcode: Rcode.refused };
    return this.#filtered(query, origin.address);
  }

  #filtered({ name, type }: Query, client: Address): Reply | undefined {
    const { filter } = this.#options;
    const verdict = filter?.judge(client, name) ?? "open";
    // Every C library believes this one at once; "refused" makes some ask again until they give up.
    if (verdict === "denied") return { rcode: Rcode.noSuchName, filtered: FILTERED_TEXT };
    if (verdict === "held") {
      const data = type === RecordType.A ? filter?.placeholder(client, name) : undefined;
      return { rcode: Rcode.ok, answers: data ? [{ type: "A", name, ttl: 0, data }] : [] };
    }
    // They offer QUIC and encrypted names, which a policy cannot judge, and addresses of their own.
    const isService = type === RecordType.HTTPS || type === RecordType.SVCB;
    return verdict === "watched" && isService ? { rcode: Rcode.ok, answers: [] } : undefined;
  }

  async #forward(query: Query, { address, udp }: Origin): Promise<Buffer> {
    const failed = (): Buffer => encodeReply(query, { rcode: Rcode.serverFailure }, { udp });
    const pending = this.#pending.get(address) ?? 0;
    if (this.#pendingTotal >= MAX_PENDING || pending >= MAX_PENDING_OF_CLIENT) return failed();
    this.#count(address, 1);
    try {
      const signal = AbortSignal.any([
        this.#closing.signal,
        AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      ]);
      const { ask = askUpstream, resolvers } = this.#options;
      const answer = await ask(query, resolvers(), signal);
      if (!answer) return failed();
      await this.#tellFilter(query, address, answer);
      return relayReply(query, answer, { udp });
    } finally {
      this.#count(address, -1);
    }
  }

  /** An answer that the filter cannot take in must not reach the machine either. */
  async #tellFilter(query: Query, client: Address, answer: Buffer): Promise<void> {
    const { filter } = this.#options;
    if (filter?.judge(client, query.name) !== "watched") return;
    const addresses = resolvedAddresses(answer);
    if (addresses.length > 0) await filter.onAnswer(client, query.name, addresses);
  }

  #count(client: Address, change: 1 | -1): void {
    this.#pendingTotal += change;
    const pending = (this.#pending.get(client) ?? 0) + change;
    if (pending > 0) this.#pending.set(client, pending);
    else this.#pending.delete(client);
  }
}

function isMachine({ subnet, address }: Origin): boolean {
  return subnet !== undefined && contains(subnet, address);
}
