import type { Handler } from "#cli/context.ts";
import type { tokenCommands } from "#cli/spec/serve.ts";

export const run: Handler<typeof tokenCommands.commands.create> = async (
  { args, flags },
  context,
) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const wanted = { name: args.name, scope: flags.scope, ttl_ms: flags.expires };
  const created = await client.token.create(wanted, { signal: interrupt.signal });
  const { name, scope } = created.token;
  await output.document(created, () => created.secret);
  output.note(`Token "${name}" has scope ${scope}. It is not shown again.`);
};
