import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { root } from "#cli/spec/root.ts";
import { resolveConfig } from "#config/resolve.ts";

type Spec = typeof root.commands.config.commands.show;

export const run: Handler<Spec> = async (_, { output }) => {
  const { values, origins } = await resolveConfig();
  const entries = Object.entries(values).map(([key, value]) => ({
    key,
    value,
    origin: Reflect.get(origins, key) as string,
  }));
  const document = Object.fromEntries(
    entries.map(({ key, value, origin }) => [key, { value, origin }]),
  );
  await output.document(document, () =>
    table(
      ["KEY", "VALUE", "ORIGIN"],
      entries.map(({ key, value, origin }) => [key, textOf(value), origin]),
    ),
  );
};

function textOf(value: string | number | readonly string[]): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
