import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import { inTurn } from "#cli/handlers/each.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";
import type { Client } from "#sdk/client.ts";

export const run: Handler<typeof imageCommands.commands.update> = async (
  { args, flags },
  context,
) => {
  const { output } = context;
  if (args.images.length === 0 && !flags.all) {
    throw new BangerError("invalid_argument", "missing argument: IMAGES, or --all", {
      hint: "Update all outdated images with: banger image update --all",
    });
  }
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const names = flags.all ? await outdatedNames(client, signal) : args.images;
  if (names.length === 0) output.note("All images are up to date");
  await inTurn(names, async (name) => {
    const updated = await follow(context, () => client.image.update({ name }, { signal }));
    await output.item(updated, updated.image.name);
    if (!updated.changed) output.note(`${updated.image.name} is up to date`);
  });
};

async function outdatedNames(client: Client, signal: AbortSignal): Promise<string[]> {
  const states = await client.image.outdated({}, { signal });
  return states.filter(({ state }) => state === "outdated").map(({ name }) => name);
}
