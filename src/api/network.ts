/** What of a machine's network can be chosen, as every client sees it. */
import { z } from "zod";

export const VM_PORTS_MAX = 64;
const PORT_MAX = 65_535;

const protocol = z.enum(["tcp", "udp"]);

/** Which port of the host leads to which port of a machine. */
export const portRequest = z.object({
  /** Default 127.0.0.1; "0.0.0.0" and "::" are all of the host's. */
  hostAddress: z.string().max(64).optional(),
  /** 0 takes one that is free, once and for all. */
  hostPort: z.int().min(0).max(PORT_MAX),
  guestPort: z.int().min(1).max(PORT_MAX),
  protocol,
});
export type PortRequest = z.infer<typeof portRequest>;

export const publishedPort = portRequest.extend({ hostAddress: z.string() });
export type PublishedPort = z.infer<typeof publishedPort>;

/** The host's end of a published port. */
export const portEnd = portRequest.omit({ guestPort: true });
export type PortEnd = z.infer<typeof portEnd>;

export const POLICY_RULES_MAX = 64;
const RULE_LENGTH_MAX = 300;

/** "example.com", "*.example.com:443", "192.0.2.0/24:80", "deny ads.example.com", "@npm" for a profile. */
const policyRule = z.string().min(1).max(RULE_LENGTH_MAX);
export const policyRules = z.array(policyRule).max(POLICY_RULES_MAX);

/** The first rule that matches decides; what none matches is denied. Without a policy a machine may reach all. */
export const policy = z.object({
  allow: policyRules,
  /** What no rule matches is held until the user has answered, a minute at most. */
  ask: z.boolean().optional(),
});
export type Policy = z.infer<typeof policy>;

const verdict = z.enum(["allowed", "denied"]);

export const nameLogEntry = z.object({ name: z.string(), verdict, at: z.iso.datetime() });
export type NameLogEntry = z.infer<typeof nameLogEntry>;

export const connectionLogEntry = z.object({
  verdict,
  address: z.string(),
  /** Under which the machine asked for the address. */
  name: z.string().optional(),
  /** "tcp", "udp", "icmp" or a number. */
  protocol: z.string(),
  port: z.int().optional(),
  /** The first one of each connection that was allowed; every one that was denied. */
  packets: z.int(),
  /** To the second. */
  lastAt: z.iso.datetime(),
});
export type ConnectionLogEntry = z.infer<typeof connectionLogEntry>;

/** One decision of the DNS server, of the proxy, or about the ssh agent. */
export const decision = z.object({
  at: z.iso.datetime(),
  machineId: z.string(),
  verdict: z.enum(["allowed", "denied", "asked"]),
  /** What the connection carries; "dns" is a query, "ssh" a request to the user's ssh agent. */
  protocol: z.enum(["dns", "tls", "http", "tcp", "ssh"]),
  name: z.string().optional(),
  address: z.string().optional(),
  port: z.int().optional(),
  /** The rule that decided. */
  rule: z.string().optional(),
  reason: z.string().optional(),
  /** Name of the secret that was put in, or refused. */
  secret: z.string().optional(),
});
export type Decision = z.infer<typeof decision>;

/** A destination that a machine waits for. */
export const policyQuestion = z.object({
  id: z.string(),
  machineId: z.string(),
  /** The machine's name. */
  vm: z.string(),
  /** Absent if the machine has not looked the address up. */
  name: z.string().optional(),
  address: z.string().optional(),
  port: z.int(),
  at: z.iso.datetime(),
  /** From then on the answer is no. */
  expiresAt: z.iso.datetime(),
});
export type PolicyQuestion = z.infer<typeof policyQuestion>;

export const policyAnswer = z.object({
  id: z.string().max(64),
  allow: z.boolean(),
  /** For these connections, as a rule of the machine, or for all machines that ask. */
  scope: z.enum(["once", "machine", "always"]),
});
export type PolicyAnswer = z.infer<typeof policyAnswer>;

/** An answer that is kept. */
export const keptAnswer = z.object({ rule: policyRule, allow: z.boolean() });

export const policyProfile = z.object({
  name: z.string(),
  summary: z.string(),
  rules: z.array(z.string()),
});
export type PolicyProfile = z.infer<typeof policyProfile>;

export const policyLog = z.object({
  /** `connections` that the rule has let through since the policy was set. */
  rules: z.array(z.object({ rule: z.string(), connections: z.int() })),
  /** Packets that no rule allowed. */
  denied_packets: z.int(),
  /** Of the last day, the latest first. */
  connections: z.array(connectionLogEntry),
  /** Questions, the oldest first. */
  names: z.array(nameLogEntry),
  /** Of the DNS server and the proxy, the oldest first; kept while the daemon runs. */
  decisions: z.array(decision),
});
export type PolicyLog = z.infer<typeof policyLog>;

export const MACHINE_NETWORKS_MAX = 4;

/** Also what a firewall's set and a device's alias can hold. */
export const networkName = z
  .string()
  .max(31)
  .regex(/^[a-z]([a-z0-9-]*[a-z0-9])?$/, {
    error:
      "network names can contain lower-case letters, digits and dashes, and start with a letter",
  });

/** Machines that are on one network reach each other, and each other's names. */
export const namedNetwork = z.object({
  name: networkName,
  /** Names of the machines that are on it, whether they run or not. */
  machines: z.array(z.string()),
  createdAt: z.iso.datetime(),
});
export type NamedNetwork = z.infer<typeof namedNetwork>;
