import { newSecretName, type SecretSource } from "#api/secrets/secret.ts";
import { BangerError } from "#base/error.ts";
import { askSecretValue, readSecretValue } from "#cli/args/secret-value.ts";
import type { Handler } from "#cli/context.ts";
import type { secretCommands } from "#cli/spec/secret.ts";

export const run: Handler<typeof secretCommands.commands.set> = async (
  { args, flags },
  context,
) => {
  const { file, env, ttl } = flags;
  const sources = [file !== undefined, env !== undefined, args.command.length > 0];
  if (sources.filter(Boolean).length > 1) {
    throw new BangerError("invalid_argument", "conflicting options: --file, --env and a command");
  }
  if (ttl !== undefined && args.command.length === 0) {
    throw new BangerError("invalid_argument", "--ttl requires a command");
  }
  const [program] = args.command;
  if (program !== undefined && Bun.which(program) === null) {
    // It may be the value, which is then shown nowhere.
    throw new BangerError("invalid_argument", "no such command for the secret", {
      hint: `A value is read from stdin or a file: banger secret set ${args.name} --file FILE`,
    });
  }
  const { error } = newSecretName.safeParse(args.name);
  if (error) {
    const problem = error.issues[0]?.message;
    throw new BangerError("invalid_argument", `invalid value for NAME "${args.name}": ${problem}`);
  }
  const { signal } = context.interrupt;
  const source: SecretSource =
    args.command.length > 0
      ? { command: args.command, ...(ttl === undefined ? {} : { ttl_s: Math.ceil(ttl / 1000) }) }
      : { value: await readValue(args.name, { file, env, signal }) };
  const client = await context.daemon();
  const stored = await client.secret.set({ name: args.name, source }, { signal });
  await context.output.document(stored, () => stored.name);
};

async function readValue(
  name: string,
  { file, env, signal }: { file: string | undefined; env: string | undefined; signal: AbortSignal },
): Promise<string> {
  if (file !== undefined) return readSecretValue({ file });
  if (env !== undefined) return readSecretValue({ env });
  return await askSecretValue(name, signal);
}
