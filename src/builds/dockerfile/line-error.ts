/** Errors of a Dockerfile, with the line that they are about. */
import { BangerError } from "#base/error.ts";

/** An error about one line; a deeper one keeps its kind. */
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

/** An error of a step with the step's line; one that has its line already stays as it is. */
export function wrapped(instruction: { line: number }, error: unknown): unknown {
  if (!(error instanceof BangerError) || error.code === "cancelled") return error;
  if (error.message.startsWith("Cannot build line")) return error;
  const { code, message, hint } = error;
  return atLine(instruction, message, { code, hint, cause: error });
}
