import type { Handler } from "#cli/context.ts";
import { ago } from "#cli/print/ago.ts";
import { table } from "#cli/print/table.ts";
import type { tokenCommands } from "#cli/spec/serve.ts";

export const run: Handler<typeof tokenCommands.commands.list> = async (_, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const tokens = await client.token.list(undefined, { signal: interrupt.signal });
  await output.document(tokens, () =>
    output.quiet
      ? tokens.map(({ name }) => name).join("\n")
      : table(
          ["NAME", "SCOPE", "CREATED", "USED", "EXPIRES"],
          tokens.map(({ name, scope, createdAt, usedAt, expiresAt }) => [
            name,
            scope,
            ago(createdAt),
            usedAt === undefined ? "never" : ago(usedAt),
            expiresAt ?? "never",
          ]),
        ),
  );
};
