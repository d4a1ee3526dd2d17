import { BangerError } from "#base/error.ts";

/** The value of a flag that a command cannot do without; `hint` shows how it is given. */
export function required<T>(value: T | undefined, flag: string, hint: string): T {
  if (value !== undefined) return value;
  throw new BangerError("invalid_argument", `missing required option ${flag}`, { hint });
}
