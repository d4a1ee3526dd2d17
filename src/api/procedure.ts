/** What every part of the contract is declared with. */
import { oc } from "@orpc/contract";
import { z } from "zod";
import { type ErrorCode, errorCodes } from "#base/error.ts";

const errorData = z.object({ hint: z.string().optional() });

/** Every procedure refuses input that does not fit it, and may fail where the host or the store does. */
const ALWAYS = [
  "invalid_argument",
  "integrity",
  "permission_denied",
  "no_space",
  "unavailable",
  "internal",
] as const;

/** Declares errors that a procedure gives besides ALWAYS and `cancelled`, which no client is left to read. */
export function fails<const C extends ErrorCode>(...codes: readonly C[]) {
  type Entry = { status: number; data: typeof errorData };
  return oc.errors(
    Object.fromEntries(
      [...ALWAYS, ...codes].map((code) => [
        code,
        { status: errorCodes[code].http, data: errorData },
      ]),
    ) as Record<C | (typeof ALWAYS)[number], Entry>,
  );
}

/** Of a change to a machine, which another process may run. */
export const CHANGES = ["not_found", "invalid_state", "conflict"] as const;
/** Of a request that the agent of a running machine answers, after it was woken if it is suspended. */
export const REACHES = [
  "limit_exceeded",
  "not_found",
  "invalid_state",
  "conflict",
  "timeout",
  "unsupported",
  "guest",
] as const;
/** Of a boot, and of the command that the machine runs, besides CHANGES. */
export const BOOTS = [
  "guest",
  "limit_exceeded",
  "timeout",
  "unsupported",
  "command_not_found",
  "command_not_executable",
] as const;
/** Of a download from a registry, a catalog or any other server. */
export const DOWNLOADS = [
  "not_found",
  "already_exists",
  "unauthorized",
  "unsupported",
  "limit_exceeded",
  "conflict",
  "timeout",
] as const;

/** Whether a procedure declares an error; `cancelled` is nobody's to read. */
export function declares(errorMap: object, code: string): boolean {
  return code === "cancelled" || Object.hasOwn(errorMap, code);
}

export const nothing = z.object({});
