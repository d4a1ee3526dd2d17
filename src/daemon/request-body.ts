/** Bodies of REST requests: a JSON object or nothing. */
import { BangerError, messageOf } from "#base/error.ts";

/**
 * Throws invalid_argument for a body that is no JSON object. The router alone would ignore such a
 * body wherever the path has parameters.
 */
export async function checkBody(request: Request): Promise<void> {
  if (request.method === "GET" || request.method === "HEAD" || !request.body) return;
  const text = await request.clone().text();
  if (text.length === 0) return;
  const type = request.headers.get("Content-Type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    throw new BangerError(
      "invalid_argument",
      `unsupported Content-Type ${type ?? "(none)"}: expected application/json`,
    );
  }
  const value = parse(text);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw new BangerError("invalid_argument", "invalid request body: expected a JSON object");
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `invalid request body: ${messageOf(cause)}`;
    throw new BangerError("invalid_argument", message, { cause });
  }
}
