import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";
import { configBlock } from "#cli/ssh/options.ts";

type Spec = (typeof root.commands)["ssh-config"];

export const run: Handler<Spec> = async (_, { paths, output }) => {
  const block = configBlock(paths);
  await output.document({ config: block }, () => block);
};
