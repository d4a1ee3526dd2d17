/** The helper in the network namespace: manages devices and rules for its daemon, and exits with it. */
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { toBangerError } from "#base/error.ts";
import { type Address, parseAddress } from "#net/address.ts";
import { ownBridge } from "#net/bridge.ts";
import { machineTaps } from "#net/devices.ts";
import { encodeQuery, type Query } from "#net/dns/query.ts";
import { DnsServer } from "#net/dns/server.ts";
import type { askUpstream } from "#net/dns/upstream.ts";
import type { Names } from "#net/dns/zone.ts";
import { Network } from "#net/network.ts";
import { hostAddresses, Policies } from "#net/policy/policies.ts";
import { parsePolicy } from "#net/policy/policy.ts";
import type { GuestProxy } from "#net/policy/proxy.ts";
import {
  type FromHelper,
  type HelperCall,
  type HelperConfig,
  helperConfig,
  type PlainPolicy,
  type ToHelper,
  type UserQuestion,
} from "./protocol.ts";

export interface Streams {
  input: Readable;
  output: Writable;
  /** Names of machines from the store at this path. */
  names: (database: string) => Names;
  /** The proxy of machines with rules by name. */
  proxy: (need: ProxyNeed) => GuestProxy;
}

export interface ProxyNeed {
  policies: Policies;
  /** See `HelperConfig`. */
  interceptor: string | undefined;
  /** Asks the host's resolvers, through the daemon. */
  ask: typeof askUpstream;
  /** Asks the user, through the daemon. */
  askUser: (question: UserQuestion, signal: AbortSignal) => Promise<boolean>;
}

/** Resolves when the daemon has exited. */
export async function serveNetwork({ input, output, names, proxy }: Streams): Promise<void> {
  const lines = createInterface({ input });
  let helper: Helper | undefined;
  for await (const line of lines) {
    const message: unknown = JSON.parse(line);
    if (helper) helper.take(message as ToHelper);
    else helper = new Helper(helperConfig.parse(message), { output, names, proxy });
  }
}

class Helper {
  readonly #bridge: string;
  readonly #network: Network;
  readonly #send: (message: FromHelper) => void;
  readonly #calls = new Map<number, AbortController>();
  readonly #asking = new Map<number, (answer: Buffer | undefined) => void>();
  readonly #questions = new Map<number, (isAllowed: boolean) => void>();
  #hostAddresses: ReadonlySet<Address>;
  #asked = 0;

  constructor(config: HelperConfig, { output, names, proxy }: Omit<Streams, "input">) {
    const { bridge, subnet, subnet6, database, interceptor } = config;
    this.#bridge = bridge;
    this.#hostAddresses = parsed(config.hostAddresses);
    this.#send = (message) => output.write(`${JSON.stringify(message)}\n`);
    const policies = new Policies(bridge, {
      ownAddresses: () => new Set([...this.#hostAddresses, ...hostAddresses()]),
      decisions: (decision) => this.#send({ decision }),
    });
    const ask: typeof askUpstream = (query, _, signal) => this.#ask(query, signal);
    const dns =
      database === undefined
        ? undefined
        : new DnsServer({
            names: names(database),
            filter: policies,
            resolvers: () => [],
            ask,
          });
    const askUser: ProxyNeed["askUser"] = (question, signal) => this.#askUser(question, signal);
    const end = dns && proxy({ policies, interceptor, ask, askUser });
    this.#network = new Network({ bridge, subnet, subnet6, dns, policies, proxy: end });
  }

  take(message: ToHelper): void {
    if ("call" in message) void this.#answer(message.id, message.call);
    else if ("cancel" in message) this.#calls.get(message.cancel)?.abort();
    else if ("answered" in message) this.#questions.get(message.answered)?.(message.isAllowed);
    else {
      const { asked, answer } = message;
      this.#hostAddresses = parsed(message.hostAddresses);
      this.#asking.get(asked)?.(answer === undefined ? undefined : Buffer.from(answer, "base64"));
    }
  }

  async #answer(id: number, call: HelperCall): Promise<void> {
    const abort = new AbortController();
    this.#calls.set(id, abort);
    try {
      const ok = (await this.#perform(call, abort.signal)) ?? null;
      this.#send({ id, ok, isEmpty: ownBridge(this.#bridge) === undefined });
    } catch (error) {
      const { code, message, hint } = toBangerError(error);
      this.#send({ id, error: { code, message, ...(hint ? { hint } : {}) } });
    } finally {
      this.#calls.delete(id);
    }
  }

  async #perform(call: HelperCall, signal: AbortSignal): Promise<unknown> {
    switch (call.op) {
      case "attach": {
        const { policy, ...request } = call.request;
        return await this.#network.attach({ ...request, policy: policyOf(policy) }, signal);
      }
      case "detach":
        return await this.#network.detach(call);
      case "setPolicy":
        return await this.#network.setPolicy(call.machineId, policyOf(call.policy));
      case "setNetworks":
        return await this.#network.setNetworks(call.machineId, call.networks);
      case "setBandwidth":
        return await this.#network.setBandwidth(call.machineId, call.bandwidth);
      case "bandwidthCounters":
        return await this.#network.bandwidthCounters(call.machineId);
      case "policyLog":
        return await this.#network.policyLog(call.machineId);
      case "machines":
        return machineTaps(this.#bridge).map(({ machineId }) => machineId);
      case "resume":
        return await this.#network.resume((id) => policyOf(call.policies[id]));
    }
  }

  async #askUser(question: UserQuestion, signal: AbortSignal): Promise<boolean> {
    const id = this.#asked++;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const onAbort = (): void => {
      this.#send({ withdrawn: id });
      resolve(false);
    };
    signal.addEventListener("abort", onAbort);
    this.#questions.set(id, resolve);
    this.#send({ question: id, ...question });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#questions.delete(id);
    }
  }

  /** The daemon asks the host's resolvers, wherever these are. */
  async #ask(query: Query, signal: AbortSignal): Promise<Buffer | undefined> {
    const ask = this.#asked++;
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    const onAbort = (): void => resolve(undefined);
    signal.addEventListener("abort", onAbort);
    this.#asking.set(ask, resolve);
    this.#send({ ask, query: encodeQuery(query, query.id).toString("base64") });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#asking.delete(ask);
    }
  }
}

function policyOf(policy: PlainPolicy | undefined) {
  return policy && parsePolicy(policy.allow, policy);
}

function parsed(addresses: readonly string[]): Set<Address> {
  return new Set(addresses.map(parseAddress));
}
