import type { Handler } from "#cli/context.ts";
import { outdatedTable } from "#cli/print/images.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.outdated> = async ({ args }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const request = args.images.length > 0 ? { names: args.images } : {};
  const states = await client.image.outdated(request, { signal: interrupt.signal });
  const outdated = states.filter(({ state }) => state === "outdated").map(({ name }) => name);
  await output.document(states, () => (output.quiet ? outdated.join("\n") : outdatedTable(states)));
  if (outdated.length > 0) output.note("Pull the newer versions with: banger image update --all");
};
