/** Parses guest paths in scp's notation: "testbox:/etc/hosts". */
import { BangerError } from "#base/error.ts";

export interface GuestPath {
  name: string;
  path: string;
}

/** Undefined for what names no machine: a colon after a slash belongs to the path of a file. */
export function asGuestPath(text: string): GuestPath | undefined {
  const match = /^([^:/]+):(.*)$/s.exec(text);
  if (!match) return undefined;
  return { name: match[1] ?? "", path: match[2] || "/" };
}

export function guestPathArg(text: string): GuestPath {
  const found = asGuestPath(text);
  if (found) return found;
  throw new BangerError("invalid_argument", `invalid path "${text}": no machine given`, {
    hint: "Prefix the path with the machine, such as testbox:/etc/hosts",
  });
}

/** Permissions as chmod has them, such as 755. */
export function modeArg(text: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8);
  throw new BangerError("invalid_argument", `invalid mode "${text}"`, {
    hint: "Use octal digits, such as 755",
  });
}
