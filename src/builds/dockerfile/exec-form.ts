/** The exec form of CMD, RUN and other instructions: a JSON array of strings. */
import { BangerError } from "#base/error.ts";

/** Undefined for the shell form. `invalid_argument` for an array with other values. */
export function execForm(rest: string): string[] | undefined {
  if (!rest.trimStart().startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(rest);
  } catch {
    // Shell commands may begin with "[" as well.
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  if (value.every((each) => typeof each === "string")) {
    if (!value.some((each) => each.includes("\0"))) return value;
    throw new BangerError("invalid_argument", "a string in the exec form contains a NUL byte");
  }
  const other = value.find((each) => typeof each !== "string");
  throw new BangerError(
    "invalid_argument",
    `${JSON.stringify(other)} in the exec form is not a string: use double-quoted strings`,
  );
}
