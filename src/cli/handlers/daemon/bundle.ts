import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { BangerError, messageOf } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import type { debugCommands } from "#cli/spec/daemon.ts";

type Spec = typeof debugCommands.commands.bundle;

export const run: Handler<Spec> = async ({ flags }, context) => {
  const { output, interrupt } = context;
  const path = resolve(flags.output ?? "banger-debug.tar");
  const client = await context.daemon();
  const { tar, files } = await client.system.debug(undefined, { signal: interrupt.signal });
  try {
    writeFileSync(path, Buffer.from(tar, "base64"), { mode: 0o600 });
  } catch (cause) {
    throw new BangerError("invalid_argument", `Cannot write "${path}": ${messageOf(cause)}`, {
      hint: "Use a different file with --output",
      cause,
    });
  }
  await output.document({ path, files }, () => path);
};
