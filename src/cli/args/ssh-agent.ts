/** Parses `--ssh ID[=SOCKET]` of a build and `--ssh-agent HOST[,HOST]…` of a machine: the ssh agents they can reach. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { SshAgent } from "#api/secrets/ssh-agent.ts";
import { BangerError } from "#base/error.ts";
import { variable } from "#config/environment.ts";

/** Paths of sockets by their ids; undefined when there are none. */
export function readSshAgents(texts: readonly string[]): Record<string, string> | undefined {
  if (texts.length === 0) return undefined;
  return Object.fromEntries(texts.map(readAgent));
}

/** The user's agent for the hosts; undefined when there are none. */
export function readSshAgent(texts: readonly string[]): SshAgent | undefined {
  const hosts = texts.flatMap((text) => text.split(",")).map((host) => host.trim().toLowerCase());
  if (hosts.length === 0) return undefined;
  return { hosts, socket: socketOf("ssh agent", variable("SSH_AUTH_SOCK")) };
}

function readAgent(text: string): [string, string] {
  const at = text.indexOf("=");
  const id = (at < 0 ? text : text.slice(0, at)) || "default";
  const path = at < 0 ? variable("SSH_AUTH_SOCK") : text.slice(at + 1);
  return [id, socketOf(`ssh agent "${id}"`, path)];
}

function socketOf(agent: string, path: string | undefined): string {
  const isSocket = path && statSync(path, { throwIfNoEntry: false })?.isSocket();
  if (path && isSocket) return resolve(path);
  const problem = path ? `"${path}" is not a socket` : "SSH_AUTH_SOCK is not set";
  throw new BangerError("not_found", `Cannot forward ${agent}: ${problem}`, {
    hint: "Start an agent and add your key: eval $(ssh-agent); ssh-add",
  });
}
