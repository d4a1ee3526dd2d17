import type { Handler } from "#cli/context.ts";
import { ago } from "#cli/print/ago.ts";
import { table } from "#cli/print/table.ts";
import type { secretCommands } from "#cli/spec/secret.ts";

export const run: Handler<typeof secretCommands.commands.list> = async (_, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const secrets = await client.secret.list(undefined, { signal: interrupt.signal });
  await output.document(secrets, () =>
    output.quiet
      ? secrets.map(({ name }) => name).join("\n")
      : table(
          ["NAME", "SOURCE", "CHANGED"],
          secrets.map(({ name, command, changedAt }) => [
            name,
            command ? `command: ${command.join(" ")}` : "value",
            ago(changedAt),
          ]),
        ),
  );
};
