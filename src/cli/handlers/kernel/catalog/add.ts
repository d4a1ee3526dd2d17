import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Handler } from "#cli/context.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

type Command = typeof kernelCommands.commands.catalog.commands.add;

const MAX_KEY_CHARS = 1000;

export const run: Handler<Command> = async ({ args, flags }, { daemon, output, interrupt }) => {
  const { name, key } = flags;
  const client = await daemon();
  const catalog = await client.kernel.catalog.add(
    {
      from: /^[a-z]+:\/\//i.test(args.from) ? args.from : resolve(args.from),
      name,
      key: key === undefined ? undefined : keyText(key),
    },
    { signal: interrupt.signal },
  );
  await output.document(catalog, () => catalog.name);
};

/** Of the file, where it is the name of one. */
function keyText(key: string): string {
  return existsSync(key) ? readFileSync(key, "utf8").slice(0, MAX_KEY_CHARS) : key;
}
