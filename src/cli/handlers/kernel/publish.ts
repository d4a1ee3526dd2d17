import { resolve } from "node:path";
import { absoluteDestination } from "#cli/args/destination.ts";
import { required } from "#cli/args/required.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

const HINT = "banger kernel publish NAME --to DEST --url ADDRESS --catalog FILE";

export const run: Handler<typeof kernelCommands.commands.publish> = async (
  { args, flags },
  context,
) => {
  const { key, description } = flags;
  const request = {
    name: args.kernel,
    to: absoluteDestination(required(flags.to, "--to", HINT)),
    url: required(flags.url, "--url", HINT),
    catalog: resolve(required(flags.catalog, "--catalog", HINT)),
    ...(key === undefined ? {} : { key: resolve(key) }),
    ...(description === undefined ? {} : { description }),
  };
  const client = await context.daemon();
  const published = await follow(context, () =>
    client.kernel.publish(request, { signal: context.interrupt.signal }),
  );
  await context.output.document(published, () => published.url);
  if (key === undefined) {
    context.output.note("The catalog has changed: banger kernel catalog sign makes its signature");
  }
};
