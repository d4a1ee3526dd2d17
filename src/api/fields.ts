/** Fields that the inputs of several procedures share. */
import { z } from "zod";

const PATH_MAX_LENGTH = 4096;

/** A path on the host. Absolute, because the daemon has a working directory of its own. */
export const hostPath = z
  .string()
  .min(1)
  .max(PATH_MAX_LENGTH)
  .regex(/^\/[^\0]*$/, { error: "not an absolute path" });

/** A path on the host, or an address of some other kind that stands in its place. */
export const hostPathOrAddress = z
  .string()
  .min(1)
  .max(PATH_MAX_LENGTH)
  .regex(/^[^\0]*$/, { error: "a path cannot contain a NUL byte" });

/** A boolean that a URL may carry as the words "true" and "false". */
export const queryFlag = z.union(
  [z.boolean(), z.enum(["true", "false"]).transform((word) => word === "true")],
  { error: 'expected "true" or "false"' },
);

/** An integer that a URL may carry in decimal digits. */
export function queryInteger(min: number, max: number) {
  const bounded = z.int().min(min).max(max);
  const digits = z
    .string()
    .regex(/^\d{1,16}$/)
    .transform(Number);
  return z.union([bounded, digits.pipe(bounded)], {
    error: `expected an integer from ${min} to ${max}`,
  });
}
