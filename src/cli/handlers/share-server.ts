import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = (typeof root.commands)["share-server"];

export const run: Handler<Spec> = async ({ args }, context) => {
  const { serveShares } = await context.programs.shareServer();
  await serveShares(args.config);
};
