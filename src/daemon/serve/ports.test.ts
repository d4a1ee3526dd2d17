import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect, createServer } from "node:net";
import { LIMIT_MS } from "#test/limit.ts";
import { makeVm } from "#test/local-daemon.ts";
import { type ServedApi, startServedApi } from "#test/served-api.ts";
import { forGuest, portTargetOf } from "./port-door.ts";

setDefaultTimeout(LIMIT_MS);

/** "VM:TOKEN-ID" is the traffic token. */
const trafficCaller = (vm: string, token: string): string | undefined =>
  token.startsWith(`${vm}:`) ? token.slice(vm.length + 1) : undefined;

let api: ServedApi;
let full: string;
let own: string;
/** Stands for a program in the machines. */
const program = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (pathname === "/socket" && server.upgrade(request)) return undefined;
    if (pathname === "/echo") return new Response(request.body);
    return Response.json({ pathname, headers: Object.fromEntries(request.headers) });
  },
  websocket: { message: (socket, message) => void socket.send(`heard ${message}`) },
});

beforeAll(async () => {
  api = await startServedApi({ trafficCaller });
  full = api.tokens.create({ scope: "full", name: "full" }).secret;
  const made = api.tokens.create({ scope: "own", name: "own" });
  own = made.secret;
  api.vms.set("web", makeVm("web"));
  api.vms.set("my-app", { ...makeVm("my-app"), token: made.token.id });
  api.vms.set("open", { ...makeVm("open"), labels: { "banger.ports": "public" } });
  for (const name of ["web", "my-app", "open"]) api.guests.set(`${name}:3000`, program.port ?? 0);
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await program.stop(true);
});

/** A program's request, as curl sends it with -H Host. */
function get(host: string, headers: Record<string, string> = {}, path = "/"): Promise<Response> {
  const Host = `${host}:${api.port}`;
  return fetch(`${api.url}${path}`, { headers: { Host, ...headers }, redirect: "manual" });
}

test("names of ports are read, and others are none", () => {
  const gate = { hosts: ["box.example.org"], isPublic: false, scheme: "http" } as const;
  const read = (name: string) => portTargetOf(name, gate);
  expect(read("3000-web.localhost")).toEqual({ machine: "web", port: 3000 });
  expect(read("80-my-app-2.localhost")).toEqual({ machine: "my-app-2", port: 80 });
  expect(read("8080-k3v0q8zj7t1m.box.example.org")).toEqual({
    machine: "k3v0q8zj7t1m",
    port: 8080,
  });
  for (const name of [
    "localhost",
    "web.localhost",
    "0-web.localhost",
    "65536-web.localhost",
    "3000-web.example.org",
    "3000-web.localhost.example.org",
    "3000-a.b.localhost",
    "-web.localhost",
  ]) {
    expect(read(name), name).toBeUndefined();
  }
});

test("a request with a token reaches the machine's port, without the token", async () => {
  for (const [name, value] of [
    ["X-Banger-Token", full],
    ["Authorization", `Bearer ${full}`],
  ] as const) {
    const sent = { [name]: value, Cookie: "app=1" };
    const answer = await get("3000-web.localhost", sent, "/path?x=1");
    expect(answer.status).toBe(200);
    const seen = await answer.json();
    expect(seen.pathname).toBe("/path");
    expect(seen.headers).toMatchObject({
      host: `3000-web.localhost:${api.port}`,
      cookie: "app=1",
      "x-forwarded-proto": "http",
    });
    expect(JSON.stringify(seen)).not.toContain("banger_");
  }
  const basic = { "X-Banger-Token": full, Authorization: "Basic abc" };
  const seen = await (await get("3000-web.localhost", basic)).json();
  expect(seen.headers.authorization).toBe("Basic abc");
});

test("bodies of any size go both ways", async () => {
  const body = Buffer.alloc(3_000_000, "0123456789");
  const answer = await fetch(`${api.url}/echo`, {
    method: "POST",
    body,
    headers: { Host: "3000-web.localhost", "X-Banger-Token": full },
  });
  expect(Buffer.from(await answer.arrayBuffer()).equals(body)).toBe(true);
});

test("a WebSocket goes through", async () => {
  const web = new WebSocket(`ws://127.0.0.1:${api.port}/socket`, {
    headers: { Host: `3000-web.localhost:${api.port}`, "X-Banger-Token": full },
  } as object as string[]);
  const heard = new Promise((resolve) =>
    web.addEventListener("message", ({ data }) => resolve(data)),
  );
  await new Promise((resolve) => web.addEventListener("open", resolve));
  web.send("this");
  expect(await heard).toBe("heard this");
  web.close();
});

test("without a token only a public machine is reached", async () => {
  expect((await get("3000-web.localhost")).status).toBe(401);
  expect((await get("3000-web.localhost", { Authorization: "Bearer banger_00" })).status).toBe(401);
  expect((await get("3000-open.localhost")).status).toBe(200);
});

test("a machine's traffic token reaches its ports alone, as far as the API token that it is of", async () => {
  const { token } = api.tokens.create({ scope: "own", name: "traffic" });
  api.vms.set("its", { ...makeVm("its"), token: token.id });
  api.guests.set("its:3000", program.port ?? 0);
  const [its, web] = ["its", "web"].map((name) => `${api.vms.get(name)?.id}:${token.id}`);
  const at = async (host: string, secret = "") =>
    await get(host, { "E2B-Traffic-Access-Token": secret });
  const answer = await at("3000-its.localhost", its);
  expect(answer.status).toBe(200);
  expect(JSON.stringify(await answer.json())).not.toContain("traffic");
  expect((await at("3000-its.localhost", web)).status).toBe(401);
  expect((await at("3000-web.localhost", its)).status).toBe(401);
  expect((await at("3000-web.localhost", web)).status).toBe(404);
  expect((await at("3000-its.localhost")).status).toBe(401);
  api.tokens.remove("traffic");
  expect((await at("3000-its.localhost", its)).status).toBe(401);
});

test("a token of scope own reaches the ports of its own machines, one of scope read none", async () => {
  expect((await get("3000-my-app.localhost", { "X-Banger-Token": own })).status).toBe(200);
  expect((await get("3000-web.localhost", { "X-Banger-Token": own })).status).toBe(404);
  expect((await get("3000-nothing.localhost", { "X-Banger-Token": own })).status).toBe(404);
  const { secret } = api.tokens.create({ scope: "read", name: "read" });
  expect((await get("3000-web.localhost", { "X-Banger-Token": secret })).status).toBe(403);
});

test("a port that nobody listens on is 503", async () => {
  expect((await get("81-web.localhost", { "X-Banger-Token": full })).status).toBe(503);
});

test("a program that keeps connections, and one that answers no HTTP", async () => {
  const answers = [
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
    "220 smtp\r\n\r\n",
  ];
  const server = createServer((socket) => {
    socket.once("data", () => socket.end(answers.shift() ?? ""));
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  api.guests.set("web:9", (server.address() as { port: number }).port);
  const answer = await get("9-web.localhost", { "X-Banger-Token": full });
  expect(answer.headers.get("Connection")).toBe("close");
  expect(await answer.text()).toBe("ok");
  await expect(get("9-web.localhost", { "X-Banger-Token": full })).rejects.toThrow();
  server.close();
});

async function login(fields: Record<string, string>, token = full): Promise<Response> {
  const host = `3000-web.localhost:${api.port}`;
  return await fetch(`${api.url}/.banger/login`, {
    method: "POST",
    body: new URLSearchParams({ token }),
    headers: { Host: host, Origin: `http://${host}`, Accept: "text/html", ...fields },
    redirect: "manual",
  });
}

test("a browser is asked for the token, and has a cookie for that port alone", async () => {
  const page = await get("3000-web.localhost", { Accept: "text/html" });
  expect(page.status).toBe(401);
  expect(page.headers.get("Content-Security-Policy")).toContain("default-src 'none'");
  expect(await page.text()).toContain('name="token"');
  const answer = await login({});
  expect(answer.status).toBe(303);
  const set = answer.headers.get("Set-Cookie") ?? "";
  expect(set).toContain("HttpOnly");
  expect(set).toContain("SameSite=Lax");
  expect(set).not.toContain("Domain");
  const Cookie = `app=1; ${set.split(";")[0]}`;
  const seen = await (await get("3000-web.localhost", { Cookie })).json();
  expect(seen.headers.cookie).toBe("app=1");
  for (const host of ["3001-web.localhost", "3000-my-app.localhost"]) {
    expect((await get(host, { Cookie })).status, host).toBe(401);
  }
  expect((await get("127.0.0.1", { Cookie }, "/v1/vms")).status).toBe(401);
  const link = { "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate" };
  const top = { ...link, "Sec-Fetch-Dest": "document" };
  expect((await get("3000-web.localhost", { Cookie, ...top })).status).toBe(200);
  const others: Record<string, string>[] = [
    { ...link, "Sec-Fetch-Dest": "iframe" },
    { "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors" },
    { Origin: "http://3000-evil.localhost" },
    { Origin: "null" },
  ];
  for (const other of others) {
    expect((await get("3000-web.localhost", { Cookie, ...other })).status).toBe(403);
  }
});

test("a page elsewhere cannot log a browser in, and an unknown token is asked for again", async () => {
  expect((await login({ Origin: "https://example.com" })).status).toBe(403);
  expect((await login({ Origin: "null" })).status).toBe(403);
  expect((await login({}, "banger_00")).status).toBe(401);
});

test("a cookie is worth nothing once its token is revoked", async () => {
  const { secret } = api.tokens.create({ scope: "full", name: "short" });
  const Cookie = (await login({}, secret)).headers.get("Set-Cookie")?.split(";")[0] ?? "";
  expect((await get("3000-web.localhost", { Cookie })).status).toBe(200);
  const web = new WebSocket(`ws://127.0.0.1:${api.port}/socket`, {
    headers: { Host: `3000-web.localhost:${api.port}`, Cookie },
  } as object as string[]);
  await new Promise((resolve) => web.addEventListener("open", resolve));
  const closed = new Promise((resolve) => web.addEventListener("close", resolve));
  api.tokens.remove("short");
  await closed;
  expect((await get("3000-web.localhost", { Cookie })).status).toBe(401);
});

test("a connection that began with the API reaches ports too, each request by its own Host", async () => {
  const socket = connect(api.port, "127.0.0.1");
  let out = "";
  const heard = async (text: string) => {
    while (!out.includes(text)) await Bun.sleep(5);
  };
  socket.on("data", (chunk) => {
    out += chunk;
  });
  const send = (path: string, host: string, more = "") => {
    const fields = `Authorization: Bearer ${full}\r\n${more}`;
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`);
  };
  send("/version", "localhost");
  await heard('"commit"');
  send("/one", "3000-web.localhost");
  await heard('"pathname":"/one"');
  expect(out).toContain("x-forwarded-proto");
  expect(out).not.toContain("banger_");
  send("/two", "3000-open.localhost");
  await heard('"pathname":"/two"');
  send("/v1/vms", "localhost", "Connection: close\r\n");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await closed;
  expect(out.match(/HTTP\/1\.1 200 /g)).toHaveLength(4);
});

test("what goes to a machine is one request, and what is ours stays here", () => {
  const head = {
    first: "GET / HTTP/1.1",
    fields: [
      ["Host", "3000-web.localhost"],
      ["Connection", "keep-alive, X-Drop"],
      ["X-Forwarded-For", "1.2.3.4"],
      ["Cookie", "banger-port=secret"],
      ["Authorization", "Bearer banger_secret"],
    ],
  } as const;
  expect(forGuest(head, "http").fields).toEqual([
    ["Host", "3000-web.localhost"],
    ["X-Forwarded-Proto", "http"],
    ["Connection", "close"],
  ]);
});
