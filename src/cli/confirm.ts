/** Asks for confirmation before an irreversible command; without a terminal it does not ask. */
import { writeErr } from "#base/stdio.ts";
import { untilInterrupted } from "./pause.ts";

export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** True for "y" and "yes". */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  await writeErr(`${question} [y/N] `);
  const answer = Promise.withResolvers<string>();
  const onData = (bytes: Buffer): void => answer.resolve(bytes.toString("utf8"));
  process.stdin.once("data", onData);
  process.stdin.once("end", () => answer.resolve(""));
  try {
    return /^y(es)?$/i.test(
      (await Promise.race([answer.promise, untilInterrupted(signal)])).trim(),
    );
  } finally {
    process.stdin.off("data", onData);
    process.stdin.pause();
  }
}
