import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";

/** Absolute. The daemon opens it, so that "-" for standard input or output would be a file of that name. */
export function archivePath(file: string): string {
  if (file !== "-") return resolve(file);
  throw new BangerError(
    "invalid_argument",
    "invalid value for FILE: standard input and output cannot be used",
    { hint: 'Give the name of a file, or "./-"' },
  );
}
