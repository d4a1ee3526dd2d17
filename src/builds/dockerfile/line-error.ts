/** Adds line numbers to the errors of a Dockerfile. */
import { BangerError } from "#base/error.ts";

/** An error about one line; keeps the code of a BangerError. */
export function atLine(
  { line }: { line: number },
  problem: string,
  options: { code?: BangerError["code"]; hint?: string | undefined; cause?: unknown } = {},
): BangerError {
  const { code = "invalid_argument", hint, cause } = options;
  return new BangerError(code, `Cannot build line ${line} of the Dockerfile: ${problem}`, {
    hint,
    cause,
  });
}

/** Adds a step's line to its error, unless it has one. */
export function wrapped(instruction: { line: number }, error: unknown): unknown {
  if (!(error instanceof BangerError) || error.code === "cancelled") return error;
  if (error.message.startsWith("Cannot build line")) return error;
  const { code, message, hint } = error;
  return atLine(instruction, message, { code, hint, cause: error });
}
