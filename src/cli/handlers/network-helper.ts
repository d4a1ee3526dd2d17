import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = (typeof root.commands)["network-helper"];

export const run: Handler<Spec> = async (_, context) => {
  const { runNetworkHelper } = await context.programs.networkHelper();
  await runNetworkHelper();
};
