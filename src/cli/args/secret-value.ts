/** Reads the value of a secret from where other users cannot see it. */
import { readFileSync } from "node:fs";
import { secretValue } from "#api/secrets/secret.ts";
import { BangerError } from "#base/error.ts";
import { writeErr } from "#base/stdio.ts";
import { canAsk } from "#cli/confirm.ts";
import { untilInterrupted } from "#cli/pause.ts";
import { variable } from "#config/environment.ts";
import { readGiven } from "./dockerfile.ts";

/** Of a file without its last line end. */
export function readSecretValue(from: { file: string } | { env: string }): string {
  if ("file" in from) return checked(readGiven(from.file), `"${from.file}"`);
  const value = variable(from.env);
  if (value !== undefined) return checked(value, from.env);
  throw new BangerError(
    "not_found",
    `Cannot read the secret: environment variable ${from.env} is not set`,
    { hint: `Set it first: export ${from.env}=...` },
  );
}

/** From a terminal without showing it, else all of stdin. */
export async function askSecretValue(name: string, signal: AbortSignal): Promise<string> {
  if (!canAsk()) return checked(readFileSync(0, "utf8"), "stdin");
  await writeErr(`Value of ${name}: `);
  const { stdin } = process;
  stdin.setRawMode(true);
  const line = Promise.withResolvers<string>();
  let text = "";
  const onData = (bytes: Buffer): void => {
    for (const character of bytes.toString("utf8")) {
      if (character === "\r" || character === "\n" || character === "\x04") line.resolve(text);
      else if (character === "\x03")
        line.reject(new BangerError("cancelled", "operation cancelled"));
      else if (character === "\x7f") text = text.slice(0, -1);
      else text += character;
    }
  };
  stdin.on("data", onData);
  try {
    return checked(await Promise.race([line.promise, untilInterrupted(signal)]), "the terminal");
  } finally {
    stdin.off("data", onData);
    stdin.setRawMode(false);
    stdin.pause();
    await writeErr("\n");
  }
}

function checked(text: string, origin: string): string {
  const { data, error } = secretValue.safeParse(text.replace(/\r?\n$/, ""));
  if (data !== undefined) return data;
  const problem = error?.issues[0]?.message;
  throw new BangerError("invalid_argument", `Cannot use the secret of ${origin}: ${problem}`);
}
