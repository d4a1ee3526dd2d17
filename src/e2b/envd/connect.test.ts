import { expect, test } from "bun:test";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import { E2bError } from "#e2b/errors.ts";
import {
  ConnectError,
  envelope,
  readEnvelopes,
  readFirst,
  readUnary,
  streamReply,
  timeoutOf,
  toConnectError,
  unaryError,
} from "./connect.ts";

const schema = z.object({ path: z.string() });

function streaming(body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Request {
  const type = { "Content-Type": "application/connect+json", ...headers };
  return new Request("http://x/", { method: "POST", body, headers: type });
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "none",
    (error: unknown) => toConnectError(error).code,
  );
}

test("readFirst() takes one enveloped message", async () => {
  expect(await readFirst(streaming(envelope({ path: "/tmp" })), schema)).toEqual({ path: "/tmp" });
});

test("readEnvelopes() joins messages that come in pieces, and stops at the end of the stream", async () => {
  const all = Buffer.concat([
    envelope({ a: 1 }),
    envelope({ b: 2 }),
    envelope({}, 2),
    envelope({ c: 3 }),
  ]);
  const body = new ReadableStream({
    start(controller) {
      for (let at = 0; at < all.length; at += 3) controller.enqueue(all.subarray(at, at + 3));
      controller.close();
    },
  });
  const request = new Request("http://x/", { method: "POST", body });
  const messages = await Array.fromAsync(readEnvelopes(request));
  expect(messages.map((each) => JSON.parse(Buffer.from(each).toString()))).toEqual([
    { a: 1 },
    { b: 2 },
  ]);
});

test("requests that are no message of the protocol are refused", async () => {
  const long = new Uint8Array([0, 0xff, 0xff, 0xff, 0xff, 1]);
  expect(await codeOf(readFirst(streaming(long), schema))).toBe("invalid_argument");
  const short = new Uint8Array([0, 0, 0, 0, 9, 1]);
  expect(await codeOf(readFirst(streaming(short), schema))).toBe("invalid_argument");
  expect(await codeOf(readFirst(streaming(envelope({ path: 1 })), schema))).toBe(
    "invalid_argument",
  );
  expect(await codeOf(readFirst(streaming(envelope({ path: "" }, 1)), schema))).toBe(
    "unimplemented",
  );
  const gzip = { "Connect-Content-Encoding": "gzip" };
  expect(await codeOf(readFirst(streaming(envelope({}), gzip), schema))).toBe("unimplemented");
  const binary = new Request("http://x/", {
    method: "POST",
    body: "x",
    headers: { "Content-Type": "application/proto" },
  });
  expect(await codeOf(readUnary(binary, schema))).toBe("unimplemented");
});

test("a stream ends with its error in the last envelope", async () => {
  async function* source() {
    yield { event: 1 };
    throw new ConnectError("not_found", "gone");
  }
  const bytes = Buffer.from(await streamReply(source()).arrayBuffer());
  const first = envelope({ event: 1 });
  expect(bytes.subarray(0, first.length).equals(first)).toBe(true);
  const last = envelope({ error: { code: "not_found", message: "gone" } }, 2);
  expect(bytes.subarray(first.length).equals(last)).toBe(true);
});

test("errors have the code that clients know them by", async () => {
  expect(toConnectError(new BangerError("not_found", "x")).code).toBe("not_found");
  // Clients take resource_exhausted for a rate limit, and try again.
  expect(toConnectError(new BangerError("no_space", "x")).code).toBe("failed_precondition");
  expect(toConnectError(new E2bError(401, "x")).code).toBe("unauthenticated");
  const reply = unaryError(new BangerError("already_exists", "x", { hint: "Run: y" }));
  expect(reply.status).toBe(409);
  expect(await reply.json()).toEqual({ code: "already_exists", message: "x. Run: y" });
});

test("timeoutOf() takes milliseconds, and none for no limit", () => {
  const withTimeout = (text: string) =>
    new Request("http://x/", { headers: { "Connect-Timeout-Ms": text } });
  expect(timeoutOf(new Request("http://x/"))).toBeUndefined();
  expect(timeoutOf(withTimeout("1500"))).toBe(1500);
  expect(() => timeoutOf(withTimeout("1e3"))).toThrow("invalid Connect-Timeout-Ms");
});
