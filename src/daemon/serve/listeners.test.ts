import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { ExecOpen } from "#api/exec.ts";
import type { Mount } from "#api/serve/mount.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { makeVm } from "#test/local-daemon.ts";
import { startServedApi } from "#test/served-api.ts";
import { makeCertificate } from "#test/token-server.ts";
import { parseListenAddress } from "./address.ts";

setDefaultTimeout(LIMIT_MS);

test("addresses are an IP address and a port", () => {
  const read = (text: string) => parseListenAddress(text);
  expect(read("127.0.0.1:7777")).toEqual({ hostname: "127.0.0.1", port: 7777, isLocal: true });
  expect(read("localhost:80")).toEqual({ hostname: "127.0.0.1", port: 80, isLocal: true });
  expect(read(":7777").hostname).toBe("127.0.0.1");
  expect(read("[::1]:7777")).toEqual({ hostname: "::1", port: 7777, isLocal: true });
  for (const outside of ["0.0.0.0:7777", "[::]:7777", "192.0.2.1:1"]) {
    expect(read(outside).isLocal, outside).toBe(false);
  }
  for (const wrong of [
    "",
    "7777",
    "::1:7777",
    "example.com:7777",
    "[127.0.0.1]:1",
    "127.0.0.1:x",
    "127.0.0.1:65536",
  ]) {
    expect(() => read(wrong), wrong).toThrow(`invalid address "${wrong}"`);
  }
});

test("it serves for as long as somebody reads where", async () => {
  await using api = await startServedApi();
  const abort = new AbortController();
  const serving = api.listeners.whileOpen({ address: "127.0.0.1:0" }, abort.signal);
  const url = (await serving.next()).value?.url ?? "";
  expect((await fetch(`${url}/v1/vms`)).status).toBe(401);
  expect(api.listeners.list()).toEqual([{ url, isConfigured: false }]);
  const again = api.listeners.whileOpen({ address: new URL(url).host }, undefined);
  expect(await bangerErrorOf(again.next())).toMatchObject({ code: "conflict" });
  abort.abort();
  await serving.next();
  expect(api.listeners.list()).toEqual([]);
  await expect(fetch(url)).rejects.toThrow();
  const sockets = readdirSync(api.folder).filter((name) => name.startsWith("serve-"));
  // Those of the server that the test itself began.
  expect(sockets).toHaveLength(2);
});

test("what the configuration asks for is served, and a command joins it", async () => {
  await using api = await startServedApi({ values: { "serve.listen": "127.0.0.1:0" } });
  const [configured] = api.listeners.list();
  expect(configured?.isConfigured).toBe(true);
  expect((await fetch(`${configured?.url}/v1/vms`)).status).toBe(401);
});

test("an address that is taken does not keep the daemon from starting", async () => {
  using taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  await using api = await startServedApi({ values: { "serve.listen": `127.0.0.1:${taken.port}` } });
  expect(api.listeners.list()).toEqual([]);
});

test("other hosts are served with TLS and a token only", async () => {
  await using api = await startServedApi();
  const address = "0.0.0.0:0";
  const { cert, key } = await certificate(api.folder);
  const open = (more: object) => api.listeners.whileOpen({ address, ...more }, undefined).next();
  expect(await bangerErrorOf(open({}))).toMatchObject({
    code: "invalid_argument",
    message: "Cannot listen on 0.0.0.0:0: other hosts reach it, so TLS is required",
  });
  expect((await bangerErrorOf(open({ cert }))).message).toContain("no key given");
  expect((await bangerErrorOf(open({ cert, key: `${key}.missing` }))).code).toBe("not_found");
  expect((await bangerErrorOf(open({ cert: key, key: cert }))).code).toBe("invalid_argument");
  expect(await bangerErrorOf(open({ cert, key }))).toMatchObject({
    message: "Cannot listen on 0.0.0.0:0: other hosts reach it, so a token is required",
    hint: "Create one first: banger token create",
  });
  const { secret } = api.tokens.create({});
  const serving = api.listeners.whileOpen({ address, cert, key }, undefined);
  const url = (await serving.next()).value?.url ?? "";
  expect(url).toStartWith("https://0.0.0.0:");
  const ask = (name: string, headers: Record<string, string>) =>
    fetch(`${url.replace("0.0.0.0", "127.0.0.1")}/version`, {
      headers: { Host: name, ...headers },
      tls: { rejectUnauthorized: false },
    } as RequestInit);
  const Authorization = `Bearer ${secret}`;
  expect((await ask("127.0.0.1", {})).status).toBe(401);
  expect((await ask("192.0.2.7", { Authorization })).status).toBe(200);
  expect((await ask("rebind.example.com", { Authorization })).status).toBe(403);
  // Without TLS nothing is answered.
  await expect(fetch(url.replace("https://0.0.0.0", "http://127.0.0.1"))).rejects.toThrow();
  await serving.return(undefined);
});

test("names of the configuration are served, behind a proxy that speaks TLS too", async () => {
  await using api = await startServedApi({ hosts: ["box.example.org"] });
  const { secret } = api.tokens.create({ scope: "full" });
  const ask = async (headers: Record<string, string>) => {
    const Authorization = `Bearer ${secret}`;
    return (await fetch(`${api.url}/v1/vms`, { headers: { Authorization, ...headers } })).status;
  };
  const Host = "box.example.org";
  expect(await ask({ Host })).toBe(200);
  expect(await ask({ Host, Origin: "https://box.example.org" })).toBe(200);
  expect(await ask({ Host, Origin: "https://other.example.org" })).toBe(403);
  expect(await ask({ Host: "other.example.org" })).toBe(403);
});

test("a mount gets requests below its prefix, and the contract with the caller's scope", async () => {
  const mount: Mount = {
    prefix: "/other",
    bodyMax_bytes: 20 * 1024 * 1024,
    async handle(request, context) {
      const caller = context.caller(request.headers.get("X-Key") ?? undefined);
      if (!caller) return new Response("no key", { status: 401 });
      const body = await request.arrayBuffer();
      const vms = await context.clientFor(caller).vm.list();
      const open: ExecOpen = { kind: "exec", vm: "other-box", exec: { argv: ["true"] } };
      const failure = await bangerErrorOf(context.openExec(caller, open).exited);
      const names = vms.map(({ name }) => name);
      return Response.json({ names, size: body.byteLength, failure: failure.code });
    },
  };
  await using api = await startServedApi({ mounts: [mount] });
  const { secret, token } = api.tokens.create({ scope: "own" });
  api.vms.set("box", { ...makeVm("box"), token: token.id });
  api.vms.set("other-box", makeVm("other-box"));
  const ask = (path: string, init: RequestInit = {}) => fetch(`${api.url}${path}`, init);
  expect((await ask("/other")).status).toBe(401);
  const body = Buffer.alloc(10 * 1024 * 1024);
  const answer = await ask("/other/x", { method: "POST", body, headers: { "X-Key": secret } });
  expect(await answer.json()).toEqual({
    names: ["box"],
    size: body.length,
    failure: "not_found",
  });
  expect((await ask("/otherwise", { headers: { "X-Key": secret } })).status).toBe(401);
  const page = { "X-Key": secret, Origin: "https://example.com" };
  expect((await ask("/other/x", { headers: page })).status).toBe(403);
});

test("tokens are stored as hashes", async () => {
  await using api = await startServedApi();
  const { secret } = api.tokens.create({ name: "one" });
  const store = join(api.folder, "banger.db");
  const files = [store, `${store}-wal`].filter((path) => existsSync(path));
  const bytes = Buffer.concat(await Promise.all(files.map((path) => Bun.file(path).bytes())));
  expect(bytes.includes("one")).toBe(true);
  expect(bytes.includes(secret.replace("banger_", ""))).toBe(false);
  expect(() => api.tokens.create({ name: "one" })).toThrow("exists already");
  expect(() => api.tokens.remove("on")).toThrow('no such token "on"');
  expect(api.tokens.list()).toMatchObject([{ name: "one", scope: "own" }]);
});

async function certificate(folder: string): Promise<{ cert: string; key: string }> {
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  await makeCertificate(key, cert);
  return { cert, key };
}
