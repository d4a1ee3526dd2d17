/** Parses `--ssh ID[=SOCKET]` of a build: the ssh agents that its commands can reach. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import { variable } from "#config/environment.ts";

/** Paths of sockets by their ids; undefined when there are none. */
export function readSshAgents(texts: readonly string[]): Record<string, string> | undefined {
  if (texts.length === 0) return undefined;
  return Object.fromEntries(texts.map(readAgent));
}

function readAgent(text: string): [string, string] {
  const at = text.indexOf("=");
  const id = (at < 0 ? text : text.slice(0, at)) || "default";
  const path = at < 0 ? variable("SSH_AUTH_SOCK") : text.slice(at + 1);
  const isSocket = path && statSync(path, { throwIfNoEntry: false })?.isSocket();
  if (path && isSocket) return [id, resolve(path)];
  const problem = path ? `"${path}" is not a socket` : "SSH_AUTH_SOCK is not set";
  throw new BangerError("not_found", `Cannot forward ssh agent "${id}": ${problem}`, {
    hint: "Start an agent and add your key: eval $(ssh-agent); ssh-add",
  });
}
