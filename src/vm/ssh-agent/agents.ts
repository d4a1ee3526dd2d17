/** The user's ssh agent for machines: what their records and their environment have of it. */
import type { Duplex } from "node:stream";
import type { SshAgent } from "#api/secrets/ssh-agent.ts";
import { BangerError } from "#base/error.ts";
import type { VmSpec } from "#vm/spec.ts";

/** Beside the agent's own directory, which is root's alone. */
export const GUEST_SOCKET = "/run/banger-ssh-agent";

/** What decides about requests; the daemon has it from the egress. */
export interface SshAgents {
  /** Throws for a socket that is no agent of this user's. */
  check(socket: string): void;
  /** Serves one connection of a machine to its end. */
  serve(inside: Duplex, machine: { machineId: string; hosts: string[]; socket: string }): void;
}

export function sshAgentOf(
  { sshAgents }: { sshAgents?: SshAgents | undefined },
  request: SshAgent | undefined,
): Pick<VmSpec, "sshAgent"> {
  if (!request) return {};
  if (!sshAgents) throw new BangerError("unsupported", "Cannot use the ssh agent here");
  sshAgents.check(request.socket);
  return { sshAgent: request };
}

export function sshAgentEnvironment({ sshAgent }: VmSpec): Record<string, string> {
  return sshAgent ? { SSH_AUTH_SOCK: GUEST_SOCKET } : {};
}

/** As known_hosts has it. */
export function knownName(host: string): string {
  const [, name = host, port] = /^(.*):(\d+)$/.exec(host) ?? [];
  return port === undefined || port === "22" ? name : `[${name}]:${port}`;
}
