/**
 * A program that holds a Network, as a daemon does: `bun net-worker.ts CONFIG-AS-JSON`. Takes one
 * JSON call per line of stdin and answers each with one line, in the order in which they end. For
 * tests that put it into a network namespace, so that the host's own network is left alone.
 */
import { createInterface } from "node:readline";
import type { Decision } from "#api/network.ts";
import { toBangerError } from "#base/error.ts";
import { SecretInterceptor } from "#egress/intercept/intercept.ts";
import { EgressProxy } from "#egress/proxy.ts";
import { takeOver } from "#egress/remote.ts";
import { resolverBy } from "#egress/resolve.ts";
import { type Address, parseAddress } from "#net/address.ts";
import type { Bandwidth } from "#net/bandwidth/bandwidth.ts";
import { checks } from "#net/checks.ts";
import { DnsServer } from "#net/dns/server.ts";
import { askUpstream, type Resolver } from "#net/dns/upstream.ts";
import { type AttachRequest, Network } from "#net/network.ts";
import { Networks } from "#net/networks.ts";
import { Policies } from "#net/policy/policies.ts";
import { parsePolicy } from "#net/policy/policy.ts";
import { PortPublisher } from "#net/ports/publisher.ts";
import type { PortRequest } from "#net/ports/spec.ts";
import { udpFlowTo } from "#net/ports/udp.ts";
import { RootlessNetwork } from "#net/rootless/network.ts";
import { openStore } from "#store/db.ts";

export interface WorkerConfig {
  bridge: string;
  subnet: string;
  subnet6?: string;
  /** File that records a network namespace, for a user without root. */
  rootless?: string;
  /** Without it there is no DNS server. */
  dns?: { resolvers: { address: string; port: number }[] };
  /** The secret of every machine that has `secretHosts`, without root of all; `roots` verify the real servers. */
  secret?: LabSecret;
}

export interface LabSecret {
  hosts: string[];
  placeholder: string;
  value: string;
  roots: string;
}

/** `allow` is a policy as the user writes it. */
export type WorkerAttach = Omit<AttachRequest, "policy"> & {
  allow?: string[];
  isAsking?: boolean;
  secretHosts?: string[];
};

export type NetCall =
  | { id: number; op: "attach"; request: WorkerAttach; abortAfter_ms?: number }
  | { id: number; op: "detach"; machineId: string; mode: "nat" | "host" }
  | { id: number; op: "setPolicy"; machineId: string; allow?: string[] }
  | { id: number; op: "policyLog"; machineId: string }
  /** What the DNS server and the proxy have decided since the last call. */
  | { id: number; op: "decisions" }
  /** Names that the user allows from now on. */
  | { id: number; op: "answers"; names: string[] }
  | { id: number; op: "setNetworks"; machineId: string; networks: string[] }
  | { id: number; op: "setBandwidth"; machineId: string; bandwidth: Bandwidth }
  | { id: number; op: "bandwidthCounters"; machineId: string }
  | { id: number; op: "membersOf"; network: string }
  | { id: number; op: "names"; names: Record<string, string> }
  | { id: number; op: "publish"; machineId: string; address: string; ports: PortRequest[] }
  /** Policies by machine, as the records say. */
  | { id: number; op: "resume"; policies?: Record<string, string[]> }
  /** Of the authority that intercepted machines trust, in PEM. */
  | { id: number; op: "certificate" }
  | { id: number; op: "checks" | "addressesInUse" };

export type NetAnswer =
  | { id: number; ok: unknown }
  | { id: number; error: { code: string; message: string; hint?: string | undefined } };

const MAIN = new URL("../../src/main.ts", import.meta.url).pathname;
const {
  dns,
  secret,
  rootless: recordPath,
  ...options
} = JSON.parse(process.argv[2] ?? "") as WorkerConfig;
const KEY = Buffer.alloc(32, 7);
const names = new Map<string, Address>();
const decisions: Decision[] = [];
/** What the user allows when asked. */
const answers: string[] = [];
const policies = new Policies(options.bridge, { decisions: (each) => decisions.push(each) });
const server = dns && new DnsServer({ names: namesOf(names), resolvers, filter: policies });
const proxy =
  server &&
  new EgressProxy({
    policies,
    interceptor: secret && interceptorOf(secret),
    ask: (question) => Promise.resolve(answers.includes(question.name ?? question.address ?? "")),
    resolve: resolverBy(askUpstream, resolvers),
  });
const host = new Network({ ...options, dns: server, policies, proxy });
const network = new Networks({ host, rootless: recordPath ? rootlessAt(recordPath) : undefined });
const ports = new PortPublisher();

async function answer(call: NetCall): Promise<unknown> {
  switch (call.op) {
    case "attach": {
      const { abortAfter_ms, request } = call;
      const { allow, isAsking, secretHosts, ...plain } = request;
      const signal = abortAfter_ms === undefined ? undefined : AbortSignal.timeout(abortAfter_ms);
      const flags = { ...(isAsking ? { isAsking } : {}), ...(secretHosts ? { secretHosts } : {}) };
      const policy = allow && parsePolicy(allow, flags);
      return await network.attach({ ...plain, policy }, signal);
    }
    case "detach":
      return await network.detach(call);
    case "setPolicy":
      return await network.setPolicy(call.machineId, call.allow && parsePolicy(call.allow));
    case "policyLog":
      return await network.policyLog(call.machineId);
    case "decisions":
      return decisions.splice(0);
    case "answers":
      answers.splice(0, answers.length, ...call.names);
      return undefined;
    case "setNetworks":
      return await network.setNetworks(call.machineId, call.networks);
    case "setBandwidth":
      return await network.setBandwidth(call.machineId, call.bandwidth);
    case "bandwidthCounters":
      return await network.bandwidthCounters(call.machineId);
    case "membersOf":
      return host.membersOf(call.network);
    case "names":
      for (const [name, address] of Object.entries(call.names)) {
        names.set(name, parseAddress(address));
      }
      return undefined;
    case "publish": {
      const connect = () => Promise.reject(new Error("there is no agent"));
      const openFlow = udpFlowTo(parseAddress(call.address));
      return await ports.publish(call.machineId, call.ports, { connect, openFlow });
    }
    case "resume":
      return await network.resume((id) => {
        const allow = call.policies?.[id];
        return allow && parsePolicy(allow);
      });
    case "certificate":
      return secret && (await interceptorOf(secret).certificate("lab"));
    case "checks":
      return await checks(options);
    case "addressesInUse":
      return host.addressesInUse();
  }
}

function interceptorOf({ hosts, placeholder, value, roots }: LabSecret): SecretInterceptor {
  const ofMachine = (id: string) => Boolean(recordPath) || policies.secretHosts(id).length > 0;
  const source = {
    of: (id: string) => (ofMachine(id) ? [{ name: "TOKEN", hosts, placeholder }] : []),
    value: () => Promise.resolve(value),
    known: () => [value],
    lineage: () => "lab",
  };
  return new SecretInterceptor(source, { key: () => KEY, roots });
}

function rootlessAt(path: string): RootlessNetwork {
  const database = `${path}.db`;
  openStore(database).close();
  const program = [process.execPath, MAIN, "network-helper"];
  const socket = secret && `${path}.egress/socket`;
  const record = (each: Decision) => void decisions.push(each);
  if (secret && socket) takeOver(socket, { interceptor: interceptorOf(secret), record });
  return new RootlessNetwork({
    ...options,
    database,
    recordPath: path,
    program,
    ...(socket ? { interceptor: socket } : {}),
    decisions: (each) => decisions.push(each),
    askUser: ({ name, address }) => Promise.resolve(answers.includes(name ?? address ?? "")),
  });
}

function resolvers(): Resolver[] {
  return (dns?.resolvers ?? []).map(({ address, port }) => ({
    address: parseAddress(address),
    port,
  }));
}

function namesOf(known: ReadonlyMap<string, Address>) {
  return {
    addressesOf: (name: string) => {
      const address = known.get(name);
      return address && [address];
    },
    nameOf: (address: Address) => [...known].find(([, each]) => each === address)?.[0],
  };
}

async function reply(call: NetCall): Promise<void> {
  const { id } = call;
  try {
    print({ id, ok: (await answer(call)) ?? null });
  } catch (error) {
    const { code, message, hint } = toBangerError(error);
    print({ id, error: { code, message, hint } });
  }
}

function print(result: NetAnswer): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) {
  void reply(JSON.parse(line) as NetCall);
}
