import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { profileCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof profileCommands.commands.answers> = async (_input, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const answers = await client.policy.answers(undefined, { signal: interrupt.signal });
  await output.document(answers, () =>
    table(
      ["RULE", "ANSWER"],
      answers.map(({ rule, allow }) => [rule, allow ? "allow" : "deny"]),
    ),
  );
};
