import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.config.commands.show;

export const run: Handler<Spec> = async (_, { output }) => {
  const { describeEffective } = await import("#host/effective-config.ts");
  const entries = await describeEffective();
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
