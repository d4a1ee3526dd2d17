import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { McpServer, type ServerContext } from "@modelcontextprotocol/server";
import { z } from "zod";
import { aborted } from "#base/abort.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { httpClient } from "#test/mcp/client.ts";
import { type ServedApi, startServedApi } from "#test/served-api.ts";
import { Cancellable } from "./cancel.ts";
import { mcpHttp } from "./http.ts";
import { mcpMount } from "./mount.ts";

setDefaultTimeout(LIMIT_MS);

let api: ServedApi;
let token: string;
const ended: string[] = [];

/** A tool that ends when it is cancelled. */
async function endless(context: ServerContext) {
  const progressToken = context.mcpReq._meta?.progressToken ?? "";
  const params = { progressToken, progress: 1 };
  await context.mcpReq.notify({ method: "notifications/progress", params });
  const request = context.http?.req?.signal;
  await aborted(AbortSignal.any([context.mcpReq.signal, ...(request ? [request] : [])]));
  ended.push("ended");
  return { content: [] };
}

beforeAll(async () => {
  const { handle } = mcpHttp(() => {
    const server = new McpServer({ name: "endless", version: "1" });
    server.registerTool("endless", { inputSchema: z.object({}) }, (_, context) => endless(context));
    return server;
  });
  api = await startServedApi({ mounts: [{ prefix: "/endless", handle }, mcpMount()] });
  token = api.tokens.create({ scope: "own" }).secret;
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

test("a call that a client of any era cancels has ended", async () => {
  for (const era of ["2025", "2026"] as const) {
    await using client = await httpClient(`${api.url}/endless`, { token, era });
    const abort = new AbortController();
    const onprogress = () => abort.abort();
    const work = client.call("endless", {}, { signal: abort.signal, onprogress });
    await expect(work).rejects.toThrow("abort");
    while (ended.pop() === undefined) await Bun.sleep(5);
  }
});

test("a call ends when its token is revoked", async () => {
  for (const era of ["2025", "2026"] as const) {
    const made = api.tokens.create({ name: `gone-${era}` });
    await using client = await httpClient(`${api.url}/endless`, { token: made.secret, era });
    const onprogress = () => api.tokens.remove(`gone-${era}`);
    // The client may wait for more until it is closed.
    client.call("endless", {}, { onprogress }).catch(() => {});
    while (ended.pop() === undefined) await Bun.sleep(5);
    await expect(client.toolNames()).rejects.toThrow();
  }
});

test("a request is cancelled by its own client only, and forgotten when it is over", async () => {
  const running = new Cancellable();
  const request = new Request("http://x");
  const cancel = { method: "notifications/cancelled", params: { requestId: 1 } };
  const done = Promise.withResolvers<Response>();
  const signals: AbortSignal[] = [];
  const response = running.run("a", { body: { method: "x", id: 1 }, request }, (signal) => {
    signals.push(signal);
    return done.promise;
  });
  expect(running.cancel("b", cancel)).toBe(false);
  expect(running.cancel("a", { ...cancel, params: { requestId: "1" } })).toBe(false);
  expect(signals[0]?.aborted).toBe(false);
  expect(running.cancel("a", cancel)).toBe(true);
  expect(signals[0]?.aborted).toBe(true);
  done.resolve(new Response("data: x\n\n", { headers: { "Content-Type": "text/event-stream" } }));
  expect(running.size).toBe(1);
  await (await response).text();
  expect(running.size).toBe(0);
});

test("who has no token gets nothing, and a wrong setting is refused", async () => {
  const post = (query: string, headers: Record<string, string>) =>
    fetch(`${api.url}/mcp${query}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
    });
  const known = { Authorization: `Bearer ${token}` };
  const [none, wrong, bad, other] = await Promise.all([
    post("", {}),
    post("", { Authorization: "Bearer banger_0" }),
    post("?ttl=long", known),
    post("?profile=Full", known),
  ]);
  expect([none.status, wrong.status, bad.status, other.status]).toEqual([401, 401, 400, 400]);
  expect(none.headers.get("WWW-Authenticate")).toBe('Bearer realm="banger"');
  expect((await bad.json()).error.message).toBe('invalid duration "long"');
  const page = await post("", { ...known, Origin: "http://evil.example" });
  expect(page.status).toBe(403);
});

test("a batch has at most 64 messages", async () => {
  const message = { jsonrpc: "2.0", id: 1, method: "ping" };
  const send = (count: number) =>
    fetch(`${api.url}/mcp`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json, text/event-stream",
        Authorization: `Bearer ${token}`,
      },
      body: JSON.stringify(Array(count).fill(message)),
    });
  expect((await send(2)).status).toBe(200);
  expect((await send(65)).status).toBe(400);
});
