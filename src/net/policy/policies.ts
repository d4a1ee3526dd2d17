/**
 * Policies of running machines: which names a machine may resolve, with the allowed addresses updated from the DNS
 * answers.
 */

import { networkInterfaces } from "node:os";
import type { Decision, NameLogEntry, PolicyLog } from "#api/network.ts";
import { KeyedQueue } from "#base/queue.ts";
import { type Address, familyOf, tryParseAddress } from "#net/address.ts";
import { mayBeNamed } from "#net/blocks.ts";
import { machineTaps } from "#net/devices.ts";
import type { DnsFilter, NameVerdict, ResolvedAddress } from "#net/dns/filter.ts";
import { readNft, runNft } from "#net/nft/nft.ts";
import { Answers, holdTime } from "./answers.ts";
import { parsePolicyTable, readLog } from "./log.ts";
import { Placeholders } from "./placeholders.ts";
import { judgeName, matchesName, needsProxy, type Policy } from "./policy.ts";
import { Rate } from "./rate.ts";
import { Reached } from "./reached.ts";
import {
  emptyPolicy,
  type KnownAddresses,
  nameSet,
  type PolicyMachine,
  policyMark,
  renderPolicy,
} from "./table.ts";

/** Of one machine; older ones are forgotten. */
const MAX_LOGGED_NAMES = 1000;
/** Questions of one machine with a policy: a tunnel takes more, a browser less. */
const DNS_RATE = { perSecond: 50, burst: 500 };
/** Listing the host's addresses takes half a millisecond, and a connection needs them several times. */
const HOST_ADDRESSES_MS = 1000;

interface Entry {
  machine: PolicyMachine;
  policy: Policy;
  /** Milliseconds of `Date.now()` at which an element goes, by "set address". */
  held: Map<string, number>;
  /** The name under which an address was asked for last, for the log. */
  nameOf: Map<string, string>;
  names: NameLogEntry[];
  answers: Answers;
  placeholders: Placeholders;
  rate: Rate;
  reached: Reached;
}

interface Options {
  /** The host's, which no name opens; default: those of this process's network namespace. */
  ownAddresses?: () => ReadonlySet<Address>;
  /** Gets each decision, for the log. */
  decisions?: ((decision: Decision) => void) | undefined;
}

/** A machine with a policy, as the proxy sees it. */
export interface ProxiedMachine {
  readonly machineId: string;
  readonly policy: Policy;
  readonly answers: Answers;
  readonly placeholders: Placeholders;
}

export class Policies implements DnsFilter {
  readonly #bridge: string;
  readonly #ownAddresses: () => ReadonlySet<Address>;
  readonly #entries = new Map<string, Entry>();
  readonly #byAddress = new Map<Address, Entry>();
  /** Addresses that arrive while a policy is replaced go into the new one. */
  readonly #queue = new KeyedQueue();
  readonly #listeners = new Set<(machineId: string) => void>();
  readonly #decisions: (decision: Decision) => void;

  constructor(
    bridge: string,
    { ownAddresses = hostAddresses, decisions = () => {} }: Options = {},
  ) {
    this.#bridge = bridge;
    this.#ownAddresses = ownAddresses;
    this.#decisions = decisions;
  }

  /** `listener` is told of each machine whose policy has changed or gone. */
  onChange(listener: (machineId: string) => void): void {
    this.#listeners.add(listener);
  }

  /** The machine that sends from this address, if it has a policy. */
  machineAt(client: Address): ProxiedMachine | undefined {
    const entry = this.#byAddress.get(client);
    return entry && { ...entry, machineId: entry.machine.machineId };
  }

  /** Hosts of a machine's secrets. */
  secretHosts(machineId: string): readonly string[] {
    return this.#entries.get(machineId)?.policy.secretHosts ?? [];
  }

  /** The host's addresses, which no name opens. */
  ownAddresses(): ReadonlySet<Address> {
    return this.#ownAddresses();
  }

  /** Keeps what the proxy has decided. */
  record(decision: Decision): void {
    this.#entries.get(decision.machineId)?.reached.add(decision);
    this.#decisions(decision);
  }

  /** Puts a policy in the place of the one that the machine has, in one step. */
  async apply(machine: PolicyMachine, policy: Policy): Promise<void> {
    await this.#queue.run(machine.machineId, async () => {
      const table = parsePolicyTable(await readNft(["list", "table", "inet", machine.tap]));
      await runNft(renderPolicy(machine, policy, namedOnly(table.known, this.#ownAddresses())));
      this.remember(machine, policy);
    });
  }

  /**
   * Takes over what an earlier daemon has applied; connections go on. Applies it where it is gone,
   * and where another policy is in its place.
   */
  async adopt(machine: PolicyMachine, policy: Policy): Promise<void> {
    const table = await readNft(["-t", "list", "table", "inet", machine.tap]);
    const isApplied = parsePolicyTable(table).counters.has(policyMark(policy, machine));
    if (isApplied) this.remember(machine, policy);
    else await this.apply(machine, policy);
  }

  /** Lets the machine reach everything again. Safe to repeat. */
  async remove(tap: string, machineId: string): Promise<void> {
    await this.#queue.run(machineId, async () => {
      await runNft(emptyPolicy(tap));
      this.forget(machineId);
    });
  }

  /** For callers that installed the rules themselves. */
  remember(machine: PolicyMachine, policy: Policy): void {
    const known = this.#entries.get(machine.machineId);
    this.#drop(machine.machineId);
    const entry: Entry = {
      machine,
      policy,
      held: new Map(),
      nameOf: known?.nameOf ?? new Map(),
      names: known?.names ?? [],
      answers: known?.answers ?? new Answers(),
      placeholders: known?.placeholders ?? new Placeholders(),
      rate: known?.rate ?? new Rate(DNS_RATE),
      reached: known?.reached ?? new Reached(),
    };
    entry.reached.forgetRules();
    this.#entries.set(machine.machineId, entry);
    for (const address of addressesOf(machine)) this.#byAddress.set(address, entry);
    this.#announce(machine.machineId);
  }

  forget(machineId: string): void {
    this.#drop(machineId);
    this.#announce(machineId);
  }

  #drop(machineId: string): void {
    const entry = this.#entries.get(machineId);
    this.#entries.delete(machineId);
    for (const address of entry ? addressesOf(entry.machine) : []) {
      if (this.#byAddress.get(address) === entry) this.#byAddress.delete(address);
    }
  }

  #announce(machineId: string): void {
    for (const listener of this.#listeners) listener(machineId);
  }

  has(machineId: string): boolean {
    return this.#entries.has(machineId);
  }

  judge(client: Address, name: string): NameVerdict {
    const entry = this.#byAddress.get(client);
    if (!entry) return this.#isElsewhere(client) ? "denied" : "open";
    const verdict = judgeName(entry.policy, name);
    if (verdict === "ask") return "held";
    if (verdict === "deny") {
      this.#log(entry, name, "denied");
      return "denied";
    }
    const isNamed = entry.policy.rules.some(({ target }) => matchesName(target, name));
    return isNamed || needsProxy(entry.policy) ? "watched" : "open";
  }

  mayAsk(client: Address): boolean {
    return this.#byAddress.get(client)?.rate.take() ?? true;
  }

  placeholder(client: Address, name: string): Address | undefined {
    return this.#byAddress.get(client)?.placeholders.addressOf(name);
  }

  #log(entry: Entry, name: string, verdict: NameLogEntry["verdict"]): void {
    const at = new Date().toISOString();
    entry.names.push({ name, verdict, at });
    if (entry.names.length > MAX_LOGGED_NAMES) entry.names.shift();
    const { machineId } = entry.machine;
    this.#decisions({ at, machineId, verdict, protocol: "dns", name });
  }

  async onAnswer(
    client: Address,
    name: string,
    addresses: readonly ResolvedAddress[],
  ): Promise<void> {
    const machineId = this.#byAddress.get(client)?.machine.machineId;
    if (machineId === undefined) return;
    await this.#queue.run(machineId, async () => {
      const entry = this.#entries.get(machineId);
      if (!entry) return;
      this.#log(entry, name, "allowed");
      entry.answers.add(name, addresses);
      await hold(entry, { name, addresses, own: this.#ownAddresses() });
    });
  }

  /** Whether another daemon on this bridge manages the machine's policy, which is unknown here. */
  #isElsewhere(client: Address): boolean {
    return machineTaps(this.#bridge).some((each) => each.address === client && each.hasPolicy);
  }

  /** All known policies as rules, to reinstall them if they were removed; addresses of names are learned again. */
  renderAll(): string {
    const entries = [...this.#entries.values()];
    for (const { held } of entries) held.clear();
    return entries.map(({ machine, policy }) => renderPolicy(machine, policy)).join("");
  }

  /** What the machine has asked for and reached for; undefined for one without a policy. */
  async log(machineId: string): Promise<PolicyLog | undefined> {
    const entry = this.#entries.get(machineId);
    if (!entry) return undefined;
    const table = parsePolicyTable(await readNft(["list", "table", "inet", entry.machine.tap]));
    const { policy, names, nameOf, reached } = entry;
    return readLog(table, { policy, names, nameOf, reached, now_ms: Date.now() });
  }
}

/** Allows the addresses of a name for as long as a program may use them. */
async function hold(
  entry: Entry,
  {
    name,
    addresses,
    own,
  }: { name: string; addresses: readonly ResolvedAddress[]; own: ReadonlySet<Address> },
): Promise<void> {
  const targets = entry.policy.rules.flatMap(({ target, isUdp, isDeny }) =>
    target.kind === "name" && isUdp && !isDeny && matchesName(target, name) ? target : [],
  );
  const now_ms = Date.now();
  const due = addresses.filter(({ address }) => mayBeNamed(address, own));
  const changes = due.flatMap(({ address, ttl_s }) =>
    [...new Set(targets.map((each) => nameSet(each, familyOf(address))))].flatMap((set) => {
      const held_ms = entry.held.get(`${set} ${address}`) ?? 0;
      if (held_ms > now_ms + ttl_s * 1000) return [];
      return [{ set, address, hold_s: holdTime(ttl_s) }];
    }),
  );
  // The log names what is denied as well.
  for (const { address } of addresses) keep(entry.nameOf, address, name);
  if (changes.length === 0) return;
  await runNft(changes.map((change) => renderHold(entry.machine.tap, change)).join(""));
  for (const { set, address, hold_s } of changes) {
    keep(entry.held, `${set} ${address}`, now_ms + hold_s * 1000);
  }
}

/** Without what an older banger let in. */
function namedOnly(known: KnownAddresses, own: ReadonlySet<Address>): KnownAddresses {
  const isFine = (text: string): boolean => {
    const address = tryParseAddress(text);
    return address !== undefined && mayBeNamed(address, own);
  };
  return new Map(
    [...known].map(([set, elements]) => [set, elements.filter(({ address }) => isFine(address))]),
  );
}

/** An element's time is only set when it is added, so one that is there makes way for itself. */
function renderHold(
  tap: string,
  { set, address, hold_s }: { set: string; address: Address; hold_s: number },
): string {
  const element = `element inet ${tap} ${set} { ${address}`;
  const added = `add ${element} timeout ${hold_s}s }\n`;
  return `${added}delete ${element} }\n${added}`;
}

let lastAddresses: { addresses: Set<Address>; until_ms: number } | undefined;

/** Read again after a moment: a host's addresses change while the daemon runs. */
export function hostAddresses(): ReadonlySet<Address> {
  const now_ms = performance.now();
  if (lastAddresses && now_ms < lastAddresses.until_ms) return lastAddresses.addresses;
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const found = all.flatMap(({ address }) => tryParseAddress(address.split("%")[0] ?? "") ?? []);
  lastAddresses = { addresses: new Set(found), until_ms: now_ms + HOST_ADDRESSES_MS };
  return lastAddresses.addresses;
}

function addressesOf({ address, addresses6 }: PolicyMachine): Address[] {
  return [address, ...addresses6];
}

/** A guest decides how many there are: the oldest make room. */
function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  for (const [oldest] of map) {
    if (map.size <= MAX_LOGGED_NAMES) break;
    map.delete(oldest);
  }
}
