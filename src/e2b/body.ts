/** Bodies and queries of requests, checked. */
import type { z } from "zod";
import { MiB } from "#base/size.ts";
import { badRequest, E2bError } from "./errors.ts";

/** Of a JSON body: environment and metadata are the longest parts. */
const BODY_MAX_BYTES = 4 * MiB;

/** Reads the body, up to `max_bytes`. */
export async function readBytes(request: Request, max_bytes = BODY_MAX_BYTES): Promise<Uint8Array> {
  if (!request.body) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body) {
    size += chunk.length;
    if (size > max_bytes) throw new E2bError(413, `request body too large: more than ${max_bytes}`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** An absent body is an empty object, as E2B's clients send none where all is optional. */
export async function readJson<T extends z.ZodType>(
  request: Request,
  schema: T,
): Promise<z.output<T>> {
  const text = new TextDecoder().decode(await readBytes(request));
  return check(schema, text.trim() === "" ? {} : parse(text));
}

export function check<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  const where = issue?.path.join(".");
  throw badRequest(`invalid ${where || "request"}: ${issue?.message}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest("invalid request: not JSON");
  }
}
