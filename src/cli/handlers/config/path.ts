import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.config.commands.path;

export const run: Handler<Spec> = async (_, { output, paths }) => {
  await output.document({ path: paths.configFile }, () => paths.configFile);
};
