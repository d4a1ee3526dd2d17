/** The credentials of an agent: placeholders in the machine, values on the host. */
import { BangerError } from "#base/error.ts";
import type { Context } from "#cli/context.ts";
import { variable } from "#config/environment.ts";
import type { Agent } from "#tooling/agents.ts";

export interface Credentials {
  /** Values of `--secret`. */
  secret: string[];
  /** Values of `--env`. */
  env: string[];
}

/** From the environment, or else from the keyring. A note says if there are none. */
export async function credentialsOf(
  context: Context,
  agent: Agent,
  flags: { unsafeCredentials: boolean; secret: readonly string[] },
): Promise<Credentials> {
  const given = new Set(flags.secret.map((text) => text.split(/[=@]/)[0]));
  const wanted = agent.secrets.filter(({ name }) => !given.has(name));
  const inEnvironment = wanted.filter(({ name }) => variable(name));
  if (flags.unsafeCredentials) {
    if (inEnvironment.length > 0) return { secret: [], env: inEnvironment.map(({ name }) => name) };
    const names = agent.secrets.map(({ name }) => name).join(" or ");
    throw new BangerError("invalid_argument", `--unsafe-credentials requires ${names}`, {
      hint: "Set it in the environment",
    });
  }
  const kept = inEnvironment.length > 0 ? [] : await keyringNames(context);
  const found =
    inEnvironment.length > 0 ? inEnvironment : wanted.filter(({ name }) => kept.includes(name));
  const secret = found.map(({ name, hosts, headers }) => {
    const source = inEnvironment.length > 0 ? `=env:${name}` : "";
    const settings = headers.map((header) => `header=${header}`);
    return `${name}${source}@${[...hosts, ...settings].join(",")}`;
  });
  if (secret.length === 0 && wanted.length === agent.secrets.length) {
    const [first] = agent.secrets;
    context.output.note(
      `No credentials for ${agent.about}: set ${first?.name}, or run: banger secret set ${first?.name}`,
    );
  }
  return { secret, env: [] };
}

async function keyringNames(context: Context): Promise<string[]> {
  const client = await context.daemon();
  const secrets = await client.secret.list(undefined, { signal: context.interrupt.signal });
  return secrets.map(({ name }) => name);
}
