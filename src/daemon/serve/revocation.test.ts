/** Requests to mounts end with the token of their caller, however they have shown whose they are. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { MountContext } from "#api/serve/mount.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { type ServedApi, startServedApi } from "#test/served-api.ts";
import { until } from "#test/until.ts";
import { STRANGER_RATE } from "./limits.ts";

setDefaultTimeout(LIMIT_MS);

let api: ServedApi;
const ended: string[] = [];

/** Names its caller by the ID of a token, as a mount with tokens of its own does. */
async function handle(request: Request, { admit }: MountContext): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const caller = api.tokens.callers().find(({ name }) => name === searchParams.get("as"));
  try {
    admit(caller);
  } catch {
    return new Response("a fault of its own", { status: 500 });
  }
  if (!caller) return new Response(null, { status: 401 });
  if (pathname === "/odd/whole") {
    const { promise, resolve } = Promise.withResolvers<void>();
    request.signal.addEventListener("abort", () => resolve(), { once: true });
    ended.push("begun");
    await promise;
    return new Response("done");
  }
  if (pathname === "/odd/upload") {
    ended.push("begun");
    try {
      for await (const _ of request.body ?? []) ended.push("chunk");
    } catch {
      ended.push("upload");
    }
    return new Response(null, { status: 204 });
  }
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("first")),
    cancel() {
      ended.push("stream");
    },
  });
  return new Response(body, { headers: { "Content-Type": "application/octet-stream" } });
}

beforeAll(async () => {
  api = await startServedApi({ mounts: [{ prefix: "/odd", handle }] });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

async function seen(what: string): Promise<void> {
  await until(() => ended.includes(what));
  ended.length = 0;
}

test("a stream of a mount ends when its token is revoked", async () => {
  api.tokens.create({ name: "stream" });
  const response = await fetch(`${api.url}/odd/stream?as=stream`);
  const reader = response.body?.getReader();
  expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("first");
  api.tokens.remove("stream");
  await expect(reader?.read()).rejects.toThrow();
  await seen("stream");
});

test("a mount's answer that comes after its token is revoked is kept back", async () => {
  api.tokens.create({ name: "whole" });
  const answer = fetch(`${api.url}/odd/whole?as=whole`);
  await seen("begun");
  api.tokens.remove("whole");
  expect((await answer).status).toBe(401);
});

test("an upload goes no further when its token is revoked", async () => {
  api.tokens.create({ name: "upload" });
  let isOver = false;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await Bun.sleep(5);
      if (isOver) controller.close();
      else controller.enqueue(new Uint8Array(1024));
    },
  });
  const init = { method: "POST", body, duplex: "half" } as RequestInit;
  const answer = fetch(`${api.url}/odd/upload?as=upload`, init).catch(() => {});
  await seen("chunk");
  api.tokens.remove("upload");
  await seen("upload");
  isOver = true;
  await answer;
});

test("requests that show no caller are counted, and those beyond the rate are refused", async () => {
  const all = Array.from({ length: 2 * STRANGER_RATE.burst }, () => fetch(`${api.url}/odd/x`));
  const statuses = new Set((await Promise.all(all)).map(({ status }) => status));
  expect([...statuses].sort()).toEqual([401, 429]);
});
