/** E2B's API, through its own clients and others, in machines of an image without bash. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { envelope } from "#e2b/envd/connect.ts";
import { pullBusybox } from "#test/busybox.ts";
import {
  listenByConfig,
  npmClients,
  pythonClients,
  runNode,
  runPython,
  type Served,
  withToken,
} from "#test/e2b/clients.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { testNeeding } from "#test/needs.ts";

let banger: Installation;
let full: Served;
let own: Served;
beforeAll(async () => {
  banger = install();
  const url = await listenByConfig(banger);
  await Promise.all([pullBusybox(banger), npmClients()]);
  full = await withToken(banger, { url, scope: "full" });
  own = await withToken(banger, { url, scope: "own" });
}, LIMIT_MS);
afterAll(async () => {
  await banger[Symbol.asyncDispose]();
}, LIMIT_MS);

interface Sandbox {
  sandboxID: string;
  envdAccessToken: string;
  trafficAccessToken: string;
  state: string;
  endAt: string;
  metadata: Record<string, string>;
}

async function call(
  { url, token }: Served,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: unknown }> {
  const reply = await fetch(`${url}/e2b${path}`, {
    method,
    headers: { "X-API-Key": `e2b_${token}`, "Content-Type": "application/json" },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const text = await reply.text();
  return { status: reply.status, body: text ? JSON.parse(text) : undefined };
}

const machines = () => banger.json<Vm[]>("vm", "list");

test("the e2b package does everything that its user does, with a token of scope own", async () => {
  const output = await runNode(own, "sandbox", "e2b", "busybox");
  expect(output).toEndWith("e2b: done\n");
  expect(await machines()).toEqual([]);
});

test("so does the release before, which calls other routes", async () => {
  const output = await runNode(full, "sandbox", "e2b-previous", "busybox", "--quick");
  expect(output).toEndWith("e2b-previous: done\n");
});

test("ComputeSDK works on its E2B provider", async () => {
  expect(await runNode(own, "computesdk", "busybox")).toEndWith("done\n");
});

testNeeding("python3", "pip3")("so does the Python client", async () => {
  await pythonClients();
  expect(await runPython(full, "sandbox")).toEndWith("done\n");
});

test("the e2b package builds a template of steps and files, which sandboxes start with", async () => {
  const folder = join(banger.home, "context");
  mkdirSync(folder);
  writeFileSync(join(folder, "file.txt"), "from the client");
  expect(await runNode(full, "template", folder, "busybox")).toEndWith("done\n");
  await banger.ok("image", "rm", "made-by-e2b");
});

test("a sandbox keeps its metadata and its time when the daemon restarts, and pauses at its end", async () => {
  const wanted = {
    templateID: "busybox",
    metadata: { a: "b" },
    timeout: 600,
    autoPause: true,
    autoResume: { enabled: true },
  };
  const made = (await call(full, "POST", "/v2/sandboxes", wanted)).body as Sandbox;
  const path = `/sandboxes/${made.sandboxID}`;
  const before = (await call(full, "GET", path)).body as Sandbox;
  await banger.ok("daemon", "restart");
  const after = (await call(full, "GET", path)).body as Sandbox;
  expect([after.metadata, after.endAt]).toEqual([{ a: "b" }, before.endAt]);
  // A token that was given before is good afterwards.
  const run = (path: string) =>
    fetch(`${full.url}/e2b/envd${path}`, {
      headers: { "X-Access-Token": made.envdAccessToken, "E2b-Sandbox-Id": made.sandboxID },
    });
  expect((await run("/health")).status).toBe(204);
  await call(full, "POST", `${path}/timeout`, { timeout: 1 });
  const state = async () => ((await call(full, "GET", path)).body as Sandbox).state;
  while ((await state()) !== "paused") await Bun.sleep(100);
  // Its next use resumes it, and its time begins anew.
  await call(full, "POST", `${path}/timeout`, { timeout: 600 });
  expect((await run("/files?path=/etc/passwd")).status).toBe(200);
  expect((await call(full, "GET", path)).body).toMatchObject({ state: "running" });
  expect((await call(full, "DELETE", path)).status).toBe(204);
});

test("who has no token, or the wrong one, gets nothing", async () => {
  const made = (await call(own, "POST", "/sandboxes", { templateID: "busybox" })).body as Sandbox;
  const path = `/sandboxes/${made.sandboxID}`;
  const other = await withToken(banger, { url: full.url, scope: "own" });
  const reader = await withToken(banger, { url: full.url, scope: "read" });
  expect((await call({ ...own, token: "none" }, "GET", path)).status).toBe(401);
  for (const [method, route] of [
    ["GET", path],
    ["DELETE", path],
    ["POST", `${path}/pause`],
    ["POST", `${path}/connect`],
  ] as const) {
    expect((await call(other, method, route, method === "POST" ? {} : undefined)).status).toBe(404);
  }
  expect((await call(other, "GET", "/v2/sandboxes")).body).toEqual([]);
  // Its token would let it write.
  expect((await call(reader, "GET", path)).body).not.toHaveProperty("envdAccessToken");
  expect((await call(reader, "POST", `${path}/connect`, {})).status).toBe(403);
  // Files that it uploads would get into the builds of others.
  const hash = "0".repeat(64);
  for (const each of [reader, own]) {
    expect((await call(each, "POST", "/v3/templates", { name: "x" })).status).toBe(403);
    expect((await call(each, "GET", `/templates/x/files/${hash}`)).status).toBe(403);
  }
  const health = (token: string, id: string) =>
    fetch(`${own.url}/e2b/envd/health`, {
      headers: { "X-Access-Token": token, "E2b-Sandbox-Id": id },
    });
  expect((await health(made.envdAccessToken, made.sandboxID)).status).toBe(204);
  expect((await health(`${made.envdAccessToken}x`, made.sandboxID)).status).toBe(401);
  expect((await fetch(`${own.url}/files?path=/etc/passwd`)).status).toBe(401);
  // What runs under a token ends with it.
  const gone = await withToken(banger, { url: full.url, scope: "full" });
  const { envdAccessToken } = (await call(gone, "GET", path)).body as Sandbox;
  const output = await fetch(`${own.url}/e2b/envd/process.Process/Start`, {
    method: "POST",
    headers: {
      "Content-Type": "application/connect+json",
      "X-Access-Token": envdAccessToken,
      "E2b-Sandbox-Id": made.sandboxID,
    },
    body: envelope({ process: { cmd: "sleep", args: ["1000"] } }),
  });
  const stream = output.body?.getReader();
  expect(new TextDecoder().decode((await stream?.read())?.value)).toContain('"start"');
  const tokens = await banger.json<{ name: string; createdAt: string }[]>("token", "list");
  const [newest] = tokens.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  await banger.ok("token", "rm", newest?.name ?? "");
  await expect(stream?.read()).rejects.toThrow();
  expect((await call(own, "DELETE", path)).status).toBe(204);
  expect((await health(made.envdAccessToken, made.sandboxID)).status).toBe(502);
});

test("a port of a sandbox is at the host that clients compute, with a token or where it is public", async () => {
  const port = new URL(own.url).port;
  for (const allowPublicTraffic of [true, undefined]) {
    const body = { templateID: "busybox", network: { allowPublicTraffic } };
    const made = (await call(own, "POST", "/v2/sandboxes", body)).body as Sandbox;
    expect(made).toMatchObject({ domain: `localhost:${port}` });
    const { sandboxID: id } = made;
    await banger.ok(
      "vm",
      "exec",
      id,
      "--",
      "sh",
      "-c",
      "echo page > /tmp/f; httpd -p 8080 -h /tmp",
    );
    const get = async (headers: Record<string, string>) => {
      const Host = `8080-${id}.localhost:${port}`;
      const reply = await fetch(`${own.url}/f`, { headers: { Host, ...headers } });
      return [reply.status, (await reply.text()).length];
    };
    expect(await get({ "X-Banger-Token": own.token })).toEqual([200, 5]);
    expect((await get({}))[0]).toBe(allowPublicTraffic ? 200 : 401);
    const traffic = { "E2B-Traffic-Access-Token": made.trafficAccessToken };
    expect(await get(traffic)).toEqual([200, 5]);
    // Where all sandboxes have one address, the port is in a header.
    const there = async (headers: Record<string, string>) => {
      const named = { "E2b-Sandbox-Id": id, "E2b-Sandbox-Port": "8080", ...headers };
      return await fetch(`${own.url}/e2b/envd/f`, { headers: named });
    };
    for (const headers of [traffic, { "X-Access-Token": made.envdAccessToken }]) {
      expect(await (await there(headers)).text()).toBe("page\n");
    }
    expect((await there({})).status).toBe(401);
    expect((await there({ "X-Access-Token": made.trafficAccessToken })).status).toBe(401);
    expect((await there({ ...traffic, "E2b-Sandbox-Port": "0" })).status).toBe(400);
    expect((await there({ ...traffic, "E2b-Sandbox-Port": "81" })).status).toBe(503);
    expect((await call(own, "DELETE", `/sandboxes/${id}`)).status).toBe(204);
  }
});

test("what is not served says so in E2B's form", async () => {
  const base = { templateID: "busybox" };
  const cases: [string, string, object | undefined, number][] = [
    ["GET", "/volumes", undefined, 501],
    ["GET", "/secrets", undefined, 501],
    ["GET", "/templates/a/tags", undefined, 501],
    ["DELETE", "/templates/tags", { name: "a", tags: ["b"] }, 501],
    ["POST", "/sandboxes", { ...base, volumeMounts: [{ name: "a", path: "/b" }] }, 501],
    ["POST", "/sandboxes", { ...base, mcp: { x: {} } }, 501],
    ["POST", "/sandboxes", { ...base, network: { denyOut: ["192.0.2.1"] } }, 501],
    ["POST", "/sandboxes", {}, 400],
    ["PUT", "/sandboxes", undefined, 405],
    ["POST", "/sandboxes", { templateID: "code-interpreter-v1" }, 404],
    ["GET", "/nothing", undefined, 404],
    ["GET", "/sandboxes/nope", undefined, 404],
  ];
  for (const [method, path, body, status] of cases) {
    const reply = await call(full, method, path, body);
    expect([method, path, reply.status]).toEqual([method, path, status]);
    expect(reply.body).toEqual({ code: status, message: expect.any(String) });
  }
  expect(await machines()).toEqual([]);
});
