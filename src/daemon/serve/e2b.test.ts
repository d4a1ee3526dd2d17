import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Mount } from "#api/serve/mount.ts";
import type { E2b } from "#e2b/mount.ts";
import { endLabels, recordLabels } from "#e2b/record.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { makeVm } from "#test/local-daemon.ts";
import { type ServedApi, startServedApi, unused } from "#test/served-api.ts";
import { e2bMounts } from "./e2b.ts";

setDefaultTimeout(LIMIT_MS);

/** Stands for a program in the sandbox. */
const program = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    if (pathname === "/lines") return new Response(lines());
    const { method } = request;
    const headers = Object.fromEntries(request.headers);
    return Response.json({ path: pathname + search, method, headers, body: await request.text() });
  },
});
/** Resolved once the client has the first line. */
const read = Promise.withResolvers<void>();
function lines(): ReadableStream<string> {
  return new ReadableStream({
    async start(lines) {
      lines.enqueue("one\n");
      await read.promise;
      lines.enqueue("two\n");
      lines.close();
    },
  });
}

let api: ServedApi;
let e2b: E2b;
let key: string;
let tokens: { envdAccessToken: string; trafficAccessToken: string };
const id = "k3v0q8zj7t1m";
const other = "k3v0q8zj7t1n";
beforeAll(async () => {
  const mounts: Mount[] = [];
  api = await startServedApi({
    mounts,
    trafficCaller: (vm, token) => e2b.trafficCaller(vm, token),
  });
  const record = { template: "a", onTimeout: "kill", keepMemory: true, autoResume: false } as const;
  const labels = { ...recordLabels(record), ...endLabels(Date.now() + 600_000, 600) };
  for (const name of [id, other]) {
    api.vms.set(name, { ...makeVm(name), id: name, state: "running", labels });
  }
  api.guests.set(`${id}:49999`, program.port ?? 0);
  const show = async ({ name }: { name: string }) => api.vms.get(name);
  const client = { vm: { show, set: show, list: async () => [...api.vms.values()] } };
  const context = { clientFor: () => client as never, openExec: unused() };
  const paths = { keyPath: join(api.folder, "key"), folder: api.folder };
  const made = e2bMounts(context, { tokens: api.tokens, ...paths });
  e2b = made.e2b;
  mounts.push(...made.mounts);
  key = api.tokens.create({ scope: "full", name: "full" }).secret;
  const connect = await fetch(`${api.url}/e2b/sandboxes/${id}/connect`, {
    method: "POST",
    headers: { "X-API-Key": `e2b_${key}` },
    body: "{}",
  });
  tokens = await connect.json();
});
afterAll(async () => {
  e2b.close();
  await api[Symbol.asyncDispose]();
  await program.stop(true);
});

function ask(path: string, headers: Record<string, string>, init: RequestInit = {}) {
  const named = { "E2b-Sandbox-Id": id, "E2b-Sandbox-Port": "49999", ...headers };
  return fetch(`${api.url}/e2b/envd${path}`, { ...init, headers: named });
}

test("a request for another port reaches the program there, without tokens", async () => {
  const body = JSON.stringify({ code: "x".repeat(100_000) });
  const ways: Record<string, string>[] = [
    { "X-Access-Token": tokens.envdAccessToken },
    { "E2B-Traffic-Access-Token": tokens.trafficAccessToken },
    {
      "X-Access-Token": tokens.envdAccessToken,
      "E2B-Traffic-Access-Token": tokens.trafficAccessToken,
    },
  ];
  for (const headers of ways) {
    const answer = await ask("/execute?source=ci", headers, { method: "POST", body });
    expect(answer.status).toBe(200);
    const seen = await answer.json();
    expect(seen).toMatchObject({ path: "/execute?source=ci", method: "POST", body });
    expect(seen.headers.host).toBe(`49999-${id}.localhost`);
    for (const token of Object.values(headers)) expect(JSON.stringify(seen)).not.toContain(token);
  }
  const answer = await ask(
    "/contexts/a",
    { "X-Access-Token": tokens.envdAccessToken },
    { method: "DELETE" },
  );
  expect(await answer.json()).toMatchObject({ path: "/contexts/a", method: "DELETE", body: "" });
});

test("an answer comes line by line", async () => {
  const answer = await ask("/lines", { "X-Access-Token": tokens.envdAccessToken });
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  expect((await reader?.read())?.value).toBe("one\n");
  read.resolve();
  expect((await reader?.read())?.value).toBe("two\n");
});

test("without the right token, or a port, it reaches nothing", async () => {
  const { envdAccessToken: access, trafficAccessToken: traffic } = tokens;
  const cases: [Record<string, string>, number][] = [
    [{}, 401],
    [{ "X-Access-Token": traffic }, 401],
    [{ "E2B-Traffic-Access-Token": access }, 401],
    [{ "X-API-Key": `e2b_${key}` }, 401],
    [{ "X-Access-Token": access, "E2b-Sandbox-Id": other }, 401],
    [{ "E2B-Traffic-Access-Token": traffic, "E2b-Sandbox-Id": other }, 401],
    [{ "X-Access-Token": access, "E2b-Sandbox-Port": "0" }, 400],
    [{ "X-Access-Token": access, "E2b-Sandbox-Port": "99999" }, 400],
    [{ "X-Access-Token": access, "E2b-Sandbox-Port": "1 HTTP" }, 400],
    [{ "X-Access-Token": access, "E2b-Sandbox-Port": "81" }, 503],
    [{ "X-Access-Token": access, Origin: "http://example.com" }, 403],
  ];
  for (const [headers, status] of cases) {
    expect([headers, (await ask("/execute", headers)).status]).toEqual([headers, status]);
  }
});
