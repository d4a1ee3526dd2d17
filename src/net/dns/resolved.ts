/** Configures the host to resolve `<name>.vm`, through systemd-resolved or with instructions. */
import { existsSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { run, which } from "#base/run.ts";
import type { Address } from "#net/address.ts";
import { ZONE } from "./zone.ts";

/** There while systemd-resolved runs. */
const RESOLVED_RUNS = "/run/systemd/resolve";
const RESOLVECTL_TIMEOUT_MS = 10_000;
const DNS_PORT = 53;

export interface NamesServer {
  bridge: string;
  /** Where the daemon answers. */
  server: { address: Address; port: number };
}

export type NamesSetup =
  /** The commands do it; they take root, and hold as long as the bridge. */
  | { kind: "resolved"; commands: string[][] }
  /** What a person has to do. */
  | { kind: "by hand"; advice: string };

export function namesSetup(where: NamesServer, isResolved = hasResolved()): NamesSetup {
  if (isResolved) return { kind: "resolved", commands: commandsFor(where) };
  return { kind: "by hand", advice: adviceFor(where) };
}

/** None where systemd-resolved does not run. */
export function resolvedCommands(where: NamesServer): string[][] {
  return hasResolved() ? commandsFor(where) : [];
}

/** Runs the commands. `permission_denied` without the rights, `unavailable` when it refuses. */
export async function applyNamesSetup(commands: readonly (readonly string[])[]): Promise<void> {
  for (const argv of commands) {
    const { exitCode, stderr } = await run(argv, { timeout_ms: RESOLVECTL_TIMEOUT_MS });
    if (exitCode === 0) continue;
    const reason = stderr.trim().slice(0, 500);
    const isDenied = /access denied|not permitted|authentication/i.test(reason);
    throw new BangerError(
      isDenied ? "permission_denied" : "unavailable",
      `Cannot configure systemd-resolved for "*.${ZONE}": ${argv.join(" ")}: ${reason}`,
      { hint: isDenied ? "sudo banger dns setup" : "Check: systemctl status systemd-resolved" },
    );
  }
}

function hasResolved(): boolean {
  return existsSync(RESOLVED_RUNS) && which("resolvectl") !== undefined;
}

/** The bridge's server answers for its own domain and, since "~", for no other. */
function commandsFor({ bridge, server }: NamesServer): string[][] {
  const at = server.port === DNS_PORT ? server.address : `${server.address}:${server.port}`;
  return [
    ["resolvectl", "dns", bridge, at],
    ["resolvectl", "domain", bridge, `~${ZONE}`],
    ["resolvectl", "default-route", bridge, "no"],
  ];
}

function adviceFor({ server: { address, port } }: NamesServer): string {
  return [
    `systemd-resolved is not running. Configure your resolver to forward "${ZONE}" to ${address} port ${port}:`,
    `  dnsmasq, also with NetworkManager:  server=/${ZONE}/${address}#${port}`,
    `  unbound:                             forward-zone: name: "${ZONE}." forward-addr: ${address}@${port}`,
    `Without a local resolver, query it directly:  dig @${address} -p ${port} NAME.${ZONE}`,
  ].join("\n");
}
