/** Parses the JSON documents of images: size-limited, strict UTF-8, validated against a schema. */
import type { z } from "zod";
import { BangerError } from "#base/error.ts";

/** `what` names the document in messages, as in "the manifest of …". Throws `integrity`. */
export function parseDocument<T extends z.ZodType>(
  bytes: Uint8Array,
  schema: T,
  what: string,
): z.output<T> {
  const result = schema.safeParse(parseJson(bytes, what));
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const place = issue?.path.length ? ` at "${issue.path.join(".").slice(0, 100)}"` : "";
  throw new BangerError(
    "integrity",
    `Cannot read ${what}: ${issue?.message ?? "invalid format"}${place}`,
  );
}

export function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BangerError("integrity", `Cannot read ${what}: invalid JSON`, { cause: error });
  }
}
