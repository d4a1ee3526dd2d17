import { BangerError } from "#base/error.ts";
import { keyBytes } from "#cli/args/keys.ts";
import type { Handler } from "#cli/context.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

/** Half of what one call may carry. */
const PIECE_BYTES = 512 * 1024;

type Spec = typeof sessionCommands.commands.send;

export const run: Handler<Spec> = async ({ args, flags }, context) => {
  const { vm, session, text } = args;
  const { key, file, eof } = flags;
  if (text.length === 0 && key.length === 0 && file === undefined && !eof) {
    throw new BangerError("invalid_argument", "nothing to send", {
      hint: `Pass text or keys: banger vm session send ${vm} ${session} 'ls' --key enter`,
    });
  }
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const send = async (bytes: Uint8Array): Promise<void> => {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const data = Buffer.from(bytes.subarray(at, at + PIECE_BYTES)).toString("base64");
      await client.session.send({ vm, session, data }, { signal });
    }
  };
  await send(new TextEncoder().encode(text.join(" ") + key.map(keyBytes).join("")));
  if (file !== undefined) {
    const source = file === "-" ? Bun.stdin : Bun.file(file);
    if (file !== "-" && !(await source.exists())) {
      throw new BangerError("not_found", `Cannot send "${file}": no such file`);
    }
    for await (const chunk of source.stream()) await send(chunk);
  }
  if (eof) await client.session.send({ vm, session, data: "", eof: true }, { signal });
};
