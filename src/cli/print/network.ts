/** Prints networks, ports and policies. */
import type { NamedNetwork, Policy, PolicyLog, PublishedPort } from "#api/network.ts";
import { ago } from "./ago.ts";
import { pairs, table } from "./table.ts";

/** "127.0.0.1:8080->80/tcp". */
export function portText({ hostAddress, hostPort, guestPort, protocol }: PublishedPort): string {
  const host = hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress;
  return `${host}:${hostPort === 0 ? "*" : hostPort}->${guestPort}/${protocol}`;
}

export function portTable(ports: readonly PublishedPort[]): string {
  return table(
    ["ADDRESS", "PORT", "MACHINE'S PORT", "PROTOCOL"],
    ports.map(({ hostAddress, hostPort, guestPort, protocol }) => [
      hostAddress,
      hostPort === 0 ? "any free one" : String(hostPort),
      String(guestPort),
      protocol,
    ]),
  );
}

/** One line: what a machine may reach. */
export function policyText(policy: Policy | undefined): string {
  if (!policy) return "everything";
  return policy.allow.length > 0 ? policy.allow.join(", ") : "nothing";
}

export function policyLogText(log: PolicyLog): string {
  const rules = table(
    ["RULE", "CONNECTIONS"],
    log.rules.map(({ rule, connections }) => [rule, String(connections)]),
  );
  const connections = table(
    ["LAST", "VERDICT", "ADDRESS", "NAME", "PROTOCOL", "PORT", "PACKETS"],
    log.connections.map((each) => [
      each.lastAt,
      each.verdict,
      each.address,
      each.name ?? "-",
      each.protocol,
      String(each.port ?? "-"),
      String(each.packets),
    ]),
  );
  const names = table(
    ["ASKED", "VERDICT", "NAME"],
    log.names.map(({ at, verdict, name }) => [at, verdict, name]),
  );
  return [rules, connections, names].join("\n\n");
}

export function networkTable(networks: readonly NamedNetwork[]): string {
  return table(
    ["NAME", "MACHINES", "CREATED"],
    networks.map(({ name, machines, createdAt }) => [
      name,
      machines.join(", ") || "-",
      ago(createdAt),
    ]),
  );
}

export function networkText({ name, machines, createdAt }: NamedNetwork): string {
  return pairs([
    ["Name", name],
    ["Machines", machines.join(", ") || "none"],
    ["Created", `${createdAt} (${ago(createdAt)})`],
  ]);
}
