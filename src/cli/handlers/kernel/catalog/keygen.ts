import { resolve } from "node:path";
import type { Handler } from "#cli/context.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

type Command = typeof kernelCommands.commands.catalog.commands.keygen;

export const run: Handler<Command> = async ({ args }, { daemon, output, interrupt }) => {
  const client = await daemon();
  const pair = await client.kernel.catalog.keygen(
    { path: resolve(args.file) },
    { signal: interrupt.signal },
  );
  await output.document(pair, () => pair.key);
  output.note(`Secret key written to ${pair.secret}: back it up and keep it private`);
};
