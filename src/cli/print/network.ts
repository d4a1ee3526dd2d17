/** Prints networks, ports and policies. */
import type {
  Decision,
  NamedNetwork,
  Policy,
  PolicyLog,
  PolicyProfile,
  PolicyQuestion,
  PublishedPort,
} from "#api/network.ts";
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
  const rules = [...policy.allow, ...(policy.ask ? ["ask about the rest"] : [])];
  return rules.length > 0 ? rules.join(", ") : "nothing";
}

export function profileTable(profiles: readonly PolicyProfile[]): string {
  return table(
    ["NAME", "FOR", "RULES"],
    profiles.map(({ name, summary, rules }) => [name, summary, rules.join(" ")]),
  );
}

export function questionText({ vm, name, address, port }: PolicyQuestion): string {
  const host = name ?? (address?.includes(":") ? `[${address}]` : address);
  return `Machine "${vm}" wants to connect to ${host}:${port}`;
}

/** One line of `vm policy log -f`. */
export function decisionText(decision: Decision): string {
  const { at, verdict, protocol, name, address, port, reason, secret } = decision;
  const to = port === undefined ? name : `${name ?? address}:${port}`;
  const more = [
    name !== undefined && address !== undefined ? `(${address})` : "",
    secret === undefined ? "" : `secret ${secret}`,
    reason === undefined ? "" : `- ${reason}`,
  ];
  return [at, verdict, protocol, to, ...more].filter(Boolean).join(" ");
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
  const refused = log.decisions.filter(
    ({ verdict, protocol }) => verdict === "denied" && protocol !== "dns",
  );
  const reasons = table(
    ["DENIED", "NAME", "ADDRESS", "PORT", "REASON"],
    refused.map(({ at, name, address, port, reason }) => [
      at,
      name ?? "-",
      address ?? "-",
      String(port ?? "-"),
      reason ?? "-",
    ]),
  );
  return [rules, connections, names, reasons].join("\n\n");
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
