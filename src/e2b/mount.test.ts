/** Whom the API lets do what, before any machine is asked. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Backend, E2bCaller } from "./backend.ts";
import { E2b } from "./mount.ts";

let folder: string;
let e2b: E2b;
let caller: E2bCaller;
const admitted: (string | undefined)[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-e2b-"));
  const backend = {} as Backend;
  caller = { id: "token", backend, mayChange: true, mayBuild: true };
  const callers = {
    byId: (id: string) => (id === caller.id ? caller : undefined),
    all: () => [caller],
  };
  e2b = new E2b({ key: () => new Uint8Array(32), callers, folder, backend });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function send(method: string, path: string, body?: object): Promise<Response> {
  const request = new Request(new URL(path, "http://127.0.0.1:7777/"), {
    method,
    ...(body
      ? { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }
      : {}),
  });
  admitted.length = 0;
  const { signal } = request;
  const admit = (id: string | undefined) => admitted.push(id);
  const forwardToPort = () => Promise.reject(new Error("no ports"));
  const info = { host: "127.0.0.1:7777", signal, admit, forwardToPort };
  return await e2b.handle(request, info, () => caller);
}

test("who may not build templates leaves no files for the builds of others", async () => {
  const hash = "0".repeat(64);
  const files = `/e2b/templates/x/files/${hash}`;
  const { url } = await (await send("GET", files)).json();
  expect((await send("POST", "/e2b/v3/templates", { name: "x" })).status).toBe(202);
  expect((await send("PUT", url, {})).status).toBe(200);
  expect(admitted).toEqual(["token"]);
  expect((await (await send("GET", files)).json()).present).toBe(true);
  caller.mayBuild = false;
  expect((await send("GET", files)).status).toBe(403);
  expect((await send("POST", "/e2b/v3/templates", { name: "x" })).status).toBe(403);
  const build = { steps: [], fromImage: "busybox" };
  expect((await send("POST", "/e2b/v2/templates/x/builds/y", build)).status).toBe(403);
  expect((await send("PUT", url, {})).status).toBe(401);
  expect(admitted).toEqual([undefined]);
});

test("a request without an access token is counted as a stranger's", async () => {
  expect((await send("GET", "/e2b/envd/health")).status).toBe(401);
  expect((await send("GET", "/files?path=/etc/passwd")).status).toBe(401);
  expect(admitted).toEqual([undefined]);
});
