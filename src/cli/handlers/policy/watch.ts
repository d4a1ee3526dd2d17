import { canAsk } from "#cli/confirm.ts";
import type { Handler } from "#cli/context.ts";
import { Prompt } from "#cli/exec/prompt.ts";
import { questionText } from "#cli/print/network.ts";
import type { profileCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof profileCommands.commands.watch> = async (_input, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const { signal } = interrupt;
  if (canAsk() && !output.json) {
    const prompt = new Prompt(client, { signal });
    void prompt.watch();
    for await (const chunk of process.stdin) prompt.take(chunk as Buffer);
    return;
  }
  const seen = new Set<string>();
  for await (const open of await client.policy.watch(undefined, { signal })) {
    for (const question of open.filter(({ id }) => !seen.has(id))) {
      seen.add(question.id);
      await output.item(question, `${question.at} ${questionText(question)}`);
    }
  }
};
