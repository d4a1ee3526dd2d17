/** What others may send to the web UI, with and without what a browser that is logged in has, and that it gets nowhere. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { LIMIT_MS } from "#test/limit.ts";
import { makeVm } from "#test/local-daemon.ts";
import { type ServedApi, startServedApi } from "#test/served-api.ts";
import { KEY_HEADER, KEY_PROTOCOL_PREFIX } from "./routes.ts";
import { UiSessions } from "./sessions.ts";

setDefaultTimeout(LIMIT_MS);

let api: ServedApi;
let cookie: string;
let key: string;
beforeAll(async () => {
  api = await startServedApi();
  api.vms.set("box", makeVm("box"));
  ({ cookie, key } = await logIn());
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

type Fields = Record<string, string>;

const page = (): Fields => ({ Origin: api.url, "Sec-Fetch-Site": "same-origin" });
const both = (): Fields => ({ Cookie: cookie, [KEY_HEADER]: key });

async function send(path: string, fields: Fields, init: RequestInit = {}): Promise<Response> {
  return await fetch(`${api.url}${path}`, { redirect: "manual", ...init, headers: fields });
}

async function exchange(code: string, fields: Fields = page()): Promise<Response> {
  const headers = { "Content-Type": "application/json", ...fields };
  return await send("/ui/login", headers, { method: "POST", body: JSON.stringify({ code }) });
}

async function logIn(): Promise<{ cookie: string; key: string; field: string }> {
  const response = await exchange(api.ui.sessions.mint());
  expect(response.status).toBe(200);
  const field = response.headers.get("Set-Cookie") ?? "";
  const body = (await response.json()) as { key: string };
  return { cookie: field.split(";")[0] ?? "", key: body.key, field };
}

/** As the page's client calls `vm.list`. */
async function list(fields: Fields): Promise<Response> {
  const headers = { "Content-Type": "application/json", ...fields };
  return await send("/ui/api/rpc/vm/list", headers, { method: "POST", body: "{}" });
}

test("a browser that is logged in is served, and its cookie is for nothing else", async () => {
  const answer = await list({ ...page(), ...both() });
  expect(answer.status).toBe(200);
  expect(await answer.text()).toContain('"name":"box"');
  const { field } = await logIn();
  expect(field).toMatch(
    /^banger-ui-[0-9a-f]{8}=[0-9a-f]{64}; Path=\/ui; HttpOnly; SameSite=Strict; Max-Age=\d+$/,
  );
  for (const path of ["/v1/vms", "/metrics", "/version", "/rpc/vm/list", "/v1/exec"]) {
    expect((await send(path, { ...page(), ...both() })).status, path).toBe(401);
  }
});

test("a login code works once, and not for other pages", async () => {
  const code = api.ui.sessions.mint();
  expect((await exchange(code, { Origin: "https://example.com" })).status).toBe(403);
  expect((await exchange(code, { "Sec-Fetch-Site": "cross-site" })).status).toBe(403);
  expect((await exchange(code, {})).status).toBe(403);
  expect((await exchange(code)).status).toBe(200);
  expect((await exchange(code)).status).toBe(401);
  expect((await exchange("0".repeat(64))).status).toBe(401);
  expect((await exchange("")).status).toBe(401);
});

const unknown: [string, () => Fields][] = [
  ["nothing", () => ({})],
  ["the cookie alone, as pages at other ports of this host get it", () => ({ Cookie: cookie })],
  ["the key alone", () => ({ [KEY_HEADER]: key })],
  [
    "the key as the cookie",
    () => ({ Cookie: `${cookie.split("=")[0]}=${key}`, [KEY_HEADER]: key }),
  ],
  ["another key", () => ({ Cookie: cookie, [KEY_HEADER]: "0".repeat(64) })],
  ["another cookie", () => ({ Cookie: `${cookie.slice(0, -1)}x`, [KEY_HEADER]: key })],
  [
    "the cookie's value under another name",
    () => ({ Cookie: `banger-ui-=${cookie.split("=")[1]}`, [KEY_HEADER]: key }),
  ],
  [
    "a token for the API",
    () => ({ Authorization: `Bearer ${api.tokens.create({ scope: "full" }).secret}` }),
  ],
];
for (const [what, fields] of unknown) {
  test(`not logged in: ${what}`, async () => {
    const answer = await list({ ...page(), ...fields() });
    expect(answer.status).toBe(401);
    expect(await answer.text()).not.toContain('"name":"box"');
  });
}

const others: [string, () => Fields][] = [
  ["a name that was made to mean this host", () => ({ Host: `rebind.example.com:${api.port}` })],
  ["another address", () => ({ Host: `192.0.2.1:${api.port}` })],
  ["an Origin elsewhere", () => ({ Origin: "https://example.com" })],
  ["an Origin on another port of this host", () => ({ Origin: "http://127.0.0.1:3000" })],
  ["another name of this host", () => ({ Origin: `http://localhost:${api.port}` })],
  ["the Origin of a file or sandbox", () => ({ Origin: "null" })],
  ["a page of another site", () => ({ "Sec-Fetch-Site": "cross-site" })],
  ["a page of the same site, such as another port", () => ({ "Sec-Fetch-Site": "same-site" })],
  ["an address that was typed in", () => ({ "Sec-Fetch-Site": "none" })],
];
for (const [who, fields] of others) {
  test(`refused, although cookie and key came along: ${who}`, async () => {
    const answer = await list({ ...page(), ...both(), ...fields() });
    expect(answer.status).toBe(403);
    expect(await answer.text()).not.toContain('"name":"box"');
    const out = await send(
      "/ui/api/logout",
      { ...page(), ...both(), ...fields() },
      { method: "POST" },
    );
    expect(out.status).toBe(403);
  });
}

test("a change without an Origin is refused", async () => {
  expect((await list(both())).status).toBe(403);
});

const upgrade = (protocols: string): Fields => ({
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Protocol": protocols,
});

test("a WebSocket needs the cookie, the key, and the page's own Origin", async () => {
  const right = `banger.exec.v1, ${KEY_PROTOCOL_PREFIX}${key}`;
  const path = "/ui/api/exec";
  const cases: [Fields, number][] = [
    [{ ...upgrade(right), Origin: api.url }, 401],
    [{ ...upgrade("banger.exec.v1"), Cookie: cookie, Origin: api.url }, 401],
    [{ ...upgrade(right), Cookie: cookie }, 403],
    [{ ...upgrade(right), Cookie: cookie, Origin: "https://example.com" }, 403],
    [{ ...upgrade(right), Cookie: cookie, Origin: "http://127.0.0.1:3000" }, 403],
  ];
  for (const [fields, status] of cases) expect((await send(path, fields)).status).toBe(status);
  const web = open(right);
  await new Promise((resolve) => web.addEventListener("open", resolve));
  expect(web.protocol).toBe("banger.exec.v1");
  web.close();
});

function open(protocols: string, cookies = cookie): WebSocket {
  return new WebSocket(`ws://127.0.0.1:${api.port}/ui/api/exec`, {
    protocols: protocols.split(", "),
    headers: { Cookie: cookies, Origin: api.url },
  } as never);
}

test("logging out ends streams, and the session", async () => {
  const other = await logIn();
  const own = { ...page(), Cookie: other.cookie, [KEY_HEADER]: other.key };
  const web = open(`banger.exec.v1, ${KEY_PROTOCOL_PREFIX}${other.key}`, other.cookie);
  await new Promise((resolve) => web.addEventListener("open", resolve));
  const closed = new Promise<number>((resolve) =>
    web.addEventListener("close", ({ code }) => resolve(code)),
  );
  const headers = { "Content-Type": "application/json", ...own };
  const events = await send("/ui/api/rpc/system/events", headers, { method: "POST", body: "{}" });
  const out = await send("/ui/api/logout", own, { method: "POST" });
  expect(out.status).toBe(200);
  expect(out.headers.get("Set-Cookie")).toContain("Max-Age=0");
  expect(await closed).toBe(1008);
  await events.text().catch(() => "");
  expect((await list(own)).status).toBe(401);
  expect((await list({ ...page(), ...both() })).status).toBe(200);
});

test("sessions survive a restart of the daemon, as hashes that only this user reads", () => {
  const path = join(api.folder, "web-ui.json");
  const again = new UiSessions(path);
  expect(again.find(cookie, key)).toBeDefined();
  expect(again.find(cookie, "0".repeat(64))).toBeUndefined();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const text = readFileSync(path, "utf8");
  expect(text).not.toContain(key);
  expect(text).not.toContain(cookie.split("=")[1] ?? "missing");
});

test("the page may be navigated to from elsewhere, holds nothing, and permits nothing inline", async () => {
  const link = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
  };
  const answer = await send("/ui/vm/box", link);
  expect(answer.status).toBe(200);
  const policy = answer.headers.get("Content-Security-Policy") ?? "";
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain("unsafe");
  const text = await answer.text();
  expect(text).not.toContain("box");
  expect(text).not.toMatch(/<script>|<style| on\w+=|https?:/);
  const frame = { ...link, "Sec-Fetch-Dest": "iframe" };
  expect((await send("/ui/", frame)).status).toBe(403);
  const [, script = ""] = /src="([^"]+)"/.exec(text) ?? [];
  expect(
    (await send(script, { ...link, "Sec-Fetch-Dest": "script", "Sec-Fetch-Mode": "no-cors" }))
      .status,
  ).toBe(403);
  expect((await send(script, page())).headers.get("Cache-Control")).toContain("immutable");
  for (const path of ["/ui/assets/..%2findex.html", "/ui/assets/missing.js", "/ui/api/nothing"]) {
    expect([401, 404], path).toContain((await send(path, page())).status);
  }
});
