/** What every part of the contract is declared with. */
import { oc } from "@orpc/contract";
import { z } from "zod";
import { type ErrorCode, errorCodes } from "#base/error.ts";

/** One report of long work; its numbers grow while `step` stays the same. */
export const progress = z.object({
  step: z.string(),
  message: z.string(),
  done: z.number().optional(),
  total: z.number().optional(),
  unit: z.enum(["bytes", "items"]).optional(),
  /** What a command of the step has printed since the last report. */
  lines: z.array(z.string()).optional(),
});

const errorData = z.object({ hint: z.string().optional() });

/** Every procedure refuses input that does not fit it, and may fail where the host does. */
const ALWAYS = [
  "invalid_argument",
  "permission_denied",
  "no_space",
  "unavailable",
  "internal",
] as const;

/** Declares errors that a procedure gives besides ALWAYS and `cancelled`, which no client is left to read. */
export function fails<const C extends ErrorCode>(...codes: C[]) {
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

export const nothing = z.object({});
