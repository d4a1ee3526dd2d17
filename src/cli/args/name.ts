/** A new object's name: given as an argument, with --name, or made of another name. */
import { BangerError } from "#base/error.ts";

/** `hint` shows both. */
export function nameOf(
  argument: string | undefined,
  flag: string | undefined,
  hint: string,
): string {
  const name = optionalNameOf(argument, flag);
  if (name !== undefined) return name;
  throw new BangerError("invalid_argument", "missing argument: NAME", { hint });
}

export function optionalNameOf(
  argument: string | undefined,
  flag: string | undefined,
): string | undefined {
  if (argument === undefined || flag === undefined || argument === flag) return argument ?? flag;
  throw new BangerError("invalid_argument", `conflicting names: "${argument}" and --name ${flag}`, {
    hint: "Give the name only once",
  });
}

/** "My App" becomes "my-app". Empty if nothing is left. */
export function slugOf(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9._]+/g, "-")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
}
