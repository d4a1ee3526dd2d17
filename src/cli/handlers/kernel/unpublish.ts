import { resolve } from "node:path";
import { absoluteDestination } from "#cli/args/destination.ts";
import { required } from "#cli/args/required.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

const HINT = "banger kernel unpublish NAME --to DEST --catalog FILE";

export const run: Handler<typeof kernelCommands.commands.unpublish> = async (
  { args, flags },
  context,
) => {
  const { key, arch } = flags;
  const request = {
    name: args.kernel,
    to: absoluteDestination(required(flags.to, "--to", HINT)),
    catalog: resolve(required(flags.catalog, "--catalog", HINT)),
    ...(key === undefined ? {} : { key: resolve(key) }),
    ...(arch === undefined ? {} : { arch }),
  };
  const client = await context.daemon();
  const removed = await follow(context, () =>
    client.kernel.unpublish(request, { signal: context.interrupt.signal }),
  );
  await context.output.document(removed, () => removed.url);
  if (key === undefined) {
    context.output.note("The catalog has changed: banger kernel catalog sign makes its signature");
  }
};
