/** Validates STOPSIGNAL: a Linux signal by number or name. */
import { constants } from "node:os";
import { BangerError } from "#base/error.ts";

const REAL_TIME = /^RT(MIN(\+([1-9]|1[0-5]))?|MAX(-([1-9]|1[0-4]))?)$/;
/** Signal names that this runtime lacks. */
const MORE = new Set(["CLD", "STKFLT", "POLL", "IOT"]);

/** `invalid_argument` for an unknown signal. */
export function assertSignal(text: string): void {
  const name = text.toUpperCase().replace(/^SIG/, "");
  const isNumber = /^-?\d{1,9}$/.test(text) && Number(text) !== 0;
  const isName = `SIG${name}` in constants.signals || REAL_TIME.test(name) || MORE.has(name);
  if (isNumber || isName) return;
  throw new BangerError("invalid_argument", `invalid signal "${text}"`, {
    hint: "Use a signal such as SIGTERM, TERM or 15",
  });
}
