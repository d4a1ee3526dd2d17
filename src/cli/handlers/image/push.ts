import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.push> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const { image: name, reference } = args;
  const pushed = await follow(context, () => client.image.push({ name, reference }, { signal }));
  await context.output.document(pushed, () => `${pushed.target}@${pushed.digest}`);
};
