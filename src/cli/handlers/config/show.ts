import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { root } from "#cli/spec/root.ts";
import { describeConfig, resolveConfig } from "#config/resolve.ts";

type Spec = typeof root.commands.config.commands.show;

export const run: Handler<Spec> = async (_, { output }) => {
  const entries = describeConfig(await resolveConfig());
  const document = Object.fromEntries(
    entries.map(({ key, value, origin }) => [key, { value, origin }]),
  );
  await output.document(document, () =>
    table(
      ["KEY", "VALUE", "ORIGIN"],
      entries.map(({ key, shown, origin }) => [key, shown, origin]),
    ),
  );
};
