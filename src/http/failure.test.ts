import { expect, test } from "bun:test";
import { parseRetryAfter, statusFailure } from "./failure.ts";

test("parseRetryAfter() reads seconds and dates", () => {
  expect(parseRetryAfter("3")).toBe(3000);
  const now_ms = Date.UTC(2026, 0, 1);
  expect(parseRetryAfter("Thu, 01 Jan 2026 00:00:09 GMT", now_ms)).toBe(9000);
  expect(parseRetryAfter("Wed, 31 Dec 2025 00:00:00 GMT", now_ms)).toBe(0);
  for (const nothing of [null, "", "soon"])
    expect(parseRetryAfter(nothing, now_ms)).toBeUndefined();
});

test("statusFailure() repeats the registry's words, fit for a terminal and not too many", async () => {
  const words = `denied\u001b[31m\n${"x".repeat(5000)}`;
  const body = JSON.stringify({ errors: [{ code: "DENIED", message: words }] });
  const options = { action: "pull x", host: "h.example" };
  const error = await statusFailure(new Response(body, { status: 403 }), options);
  expect(error.code).toBe("unauthorized");
  expect(error.message).toStartWith(
    'Cannot pull x: "h.example" responded with 403, DENIED: denied',
  );
  expect(error.message).toMatch(/^[\x20-\x7e]{1,300}$/);
});

test.each([
  [404, "not_found", false],
  [401, "unauthorized", false],
  [429, "unavailable", true],
  [500, "unavailable", true],
  [503, "unavailable", true],
  [400, "unavailable", false],
])("statusFailure() of %d is %s", async (status, code, isTemporary) => {
  const bodies = ["", "<html>", "null", '{"errors":7}', '{"errors":[null]}', "x".repeat(1e6)];
  for (const body of bodies) {
    const options = { action: "pull x", host: "h" };
    const error = await statusFailure(new Response(body, { status }), options);
    expect(error).toMatchObject({ code, isTemporary });
  }
});
