/** Coding agents as data: the TOML files of recipes/agents. */
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { readAgentRecipes } from "./embed.ts" with { type: "macro" };

const hostSchema = z.string().regex(/^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+$/);
/** Below a home directory. */
const fileSchema = z.string().regex(/^(?!.*\.\.)[\w.][\w./-]*$/);

const agentSchema = z.strictObject({
  about: z.string(),
  /** In npm's registry; its programs are installed for all users. */
  package: z.string().regex(/^(@[a-z0-9-]+\/)?[a-z0-9-]+$/),
  /** Versions of Node.js that it runs on. */
  node: z.string().regex(/^>=\d+$/),
  command: z.array(z.string()).min(1),
  env: z.record(z.string(), z.string()).default({}),
  /** Configuration that goes along, relative to a home directory. */
  files: z.array(fileSchema).default([]),
  /** Hosts that it needs, beside those of its secrets. */
  allow: z.array(hostSchema).default([]),
  /** Credentials by the environment variable that has them, on the host and in the machine. */
  secrets: z.array(
    z.strictObject({
      name: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
      hosts: z.array(hostSchema).min(1),
      /** Headers besides Authorization in which it is sent. */
      headers: z.array(z.string().regex(/^[a-z0-9-]+$/)).default([]),
    }),
  ),
});
export type Agent = z.infer<typeof agentSchema> & { name: string };

const texts: Record<string, string> = readAgentRecipes();

export function listAgents(): Agent[] {
  return Object.entries(texts).map(([name, text]) => ({
    name,
    ...agentSchema.parse(parseToml(text)),
  }));
}

/** `not_found`. */
export function agentOf(name: string): Agent {
  const agents = listAgents();
  const agent = agents.find((each) => each.name === name);
  if (agent) return agent;
  const names = agents.map((each) => each.name);
  throw new BangerError("not_found", `no such agent "${name}"`, {
    hint: didYouMean(name, names, `Available agents: ${names.join(", ")}`),
  });
}
