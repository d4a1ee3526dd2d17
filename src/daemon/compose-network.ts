/** Builds what connects machines: the host's network, a user's namespace, DNS, policies and their proxy. */
import type { Database } from "bun:sqlite";
import { homedir } from "node:os";
import { join } from "node:path";
import { selfCommand } from "#base/self-command.ts";
import type { Config } from "#config/resolve.ts";
import { Always } from "#egress/always.ts";
import type { Ask } from "#egress/ask.ts";
import type { Interceptor } from "#egress/intercept/interceptor.ts";
import { EgressProxy } from "#egress/proxy.ts";
import { Questions } from "#egress/questions.ts";
import { takeOver } from "#egress/remote.ts";
import { resolverBy } from "#egress/resolve.ts";
import { serveAgent } from "#egress/ssh-agent/filter.ts";
import { KnownHosts } from "#egress/ssh-agent/known-hosts.ts";
import { checkAgentSocket } from "#egress/ssh-agent/upstream.ts";
import { DnsServer } from "#net/dns/server.ts";
import { askUpstream } from "#net/dns/upstream.ts";
import { Network } from "#net/network.ts";
import { Networks } from "#net/networks.ts";
import { DecisionLog } from "#net/policy/decisions.ts";
import { Policies } from "#net/policy/policies.ts";
import { daemonResolvers } from "#net/resolvers.ts";
import { RootlessNetwork } from "#net/rootless/network.ts";
import type { VmNetworking } from "#vm/network/networking.ts";
import { machineNames } from "#vm/network/resolve-names.ts";
import { findVm } from "#vm/records.ts";
import type { SshAgents } from "#vm/ssh-agent/agents.ts";
import { composeSecrets } from "./compose-secrets.ts";

interface ConnectionsNeed {
  db: Database;
  /** For one machine, whose process ends with it. */
  isAlone: boolean;
  /** Of the machines, which are composed later. */
  networking: () => VmNetworking;
}

/** The network with what decides about connections: the user's answers, and secrets. */
export function composeConnections(config: Config, { db, isAlone, networking }: ConnectionsNeed) {
  const always = new Always(config.paths.policyAnswers);
  const questions = new Questions({
    always,
    nameOf: (id) => findVm(db, id)?.name,
    addRule: async (id, rule) => void (await networking().changePolicy(id, { add: [rule] })),
  });
  const { keeper, interceptor, values } = composeSecrets(config, db);
  const decisions = new DecisionLog();
  const need = { db, isAlone, ask: questions.ask, interceptor, decisions };
  const network = composeNetwork(config, need);
  const sshAgents = composeSshAgents(decisions);
  // A process with one machine in the foreground has no proxy for it.
  const used = { secrets: isAlone ? undefined : values, sshAgents };
  return { network, questions, always, keeper, used };
}

interface NetworkNeed extends Pick<ConnectionsNeed, "db" | "isAlone"> {
  /** Asks the user. */
  ask: Ask;
  interceptor?: Interceptor | undefined;
  decisions: DecisionLog;
}

function composeSshAgents({ add: record }: DecisionLog): SshAgents {
  const known = new KnownHosts(join(homedir(), ".ssh/known_hosts"));
  return {
    check: checkAgentSocket,
    serve: (inside, machine) => void serveAgent(inside, { ...machine, known, record }),
  };
}

function composeNetwork(
  { values, paths }: Config,
  { db, isAlone, ask, interceptor, decisions }: NetworkNeed,
): Networks {
  const policies = new Policies(values["network.bridge"], { decisions: decisions.add });
  const resolvers = () => daemonResolvers((address) => dns.serves(address));
  const dns: DnsServer = new DnsServer({ names: machineNames(db), filter: policies, resolvers });
  const resolve = resolverBy(askUpstream, resolvers);
  const shared = {
    bridge: values["network.bridge"],
    subnet: values["network.subnet"],
    subnet6: values["network.subnet6"],
  };
  // A server that ends with a machine is of no use to the others on its bridge.
  const host = isAlone
    ? new Network({ ...shared, policies })
    : new Network({
        ...shared,
        dns,
        policies,
        proxy: new EgressProxy({ policies, interceptor, ask, resolve }),
      });
  const isRoot = process.getuid?.() === 0;
  const handedOver = interceptor && !isRoot && !isAlone ? paths.egressSocket : undefined;
  if (interceptor && handedOver) takeOver(handedOver, { interceptor, record: decisions.add });
  const rootless = isRoot
    ? undefined
    : new RootlessNetwork({
        ...shared,
        database: isAlone ? undefined : paths.database,
        recordPath: paths.networkNamespace,
        interceptor: handedOver,
        decisions: decisions.add,
        askUser: ask,
        program: [...selfCommand(), "network-helper"],
      });
  return new Networks({ host, rootless, decisions });
}
