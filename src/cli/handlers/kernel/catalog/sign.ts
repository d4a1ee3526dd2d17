import { resolve } from "node:path";
import { required } from "#cli/args/required.ts";
import type { Handler } from "#cli/context.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

type Command = typeof kernelCommands.commands.catalog.commands.sign;

export const run: Handler<Command> = async ({ args, flags }, { daemon, output, interrupt }) => {
  const key = required(flags.key, "--key", "banger kernel catalog sign FILE --key KEYFILE");
  const client = await daemon();
  const signed = await client.kernel.catalog.sign(
    { catalog: resolve(args.catalog), key: resolve(key) },
    { signal: interrupt.signal },
  );
  await output.document(signed, () => signed.signature);
};
