/** What a web page of somebody else, another user of the host or a broken client may send, and that it gets nowhere. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import type { TokenScope } from "#api/serve/caller.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { makeVm } from "#test/local-daemon.ts";
import { type ServedApi, startServedApi } from "#test/served-api.ts";
import { openFront } from "./front.ts";
import { STRANGER_RATE } from "./limits.ts";

setDefaultTimeout(LIMIT_MS);

let api: ServedApi;
const secrets = {} as Record<TokenScope, string>;
beforeAll(async () => {
  api = await startServedApi();
  for (const scope of ["full", "own", "read"] as const) {
    secrets[scope] = api.tokens.create({ scope, name: scope }).secret;
  }
  api.vms.set("box", makeVm("box"));
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
});

/** Sends the text, and gives what comes until the server closes the connection. */
async function raw(text: string, port = api.port): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  let out = "";
  socket.on("data", (chunk) => {
    out += chunk.toString("latin1");
  });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.write(text, "latin1");
  await closed;
  return out;
}

function lines(first: string, fields: Record<string, string> = {}, body = ""): string {
  const all = { Host: `127.0.0.1:${api.port}`, Connection: "close", ...fields };
  const text = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${first} HTTP/1.1\r\n${text.join("")}\r\n${body}`;
}

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}

const bearer = () => ({ Authorization: `Bearer ${secrets.full}` });
const simplePost = (fields: Record<string, string>) =>
  lines(
    "POST /v1/vms/box/stop",
    { "Content-Type": "text/plain", "Content-Length": "2", ...fields },
    "{}",
  );

test("with a token, and from no page, requests are served", async () => {
  for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
    const answer = await raw(lines("GET /v1/vms", { Host: `${host}:${api.port}`, ...bearer() }));
    expect(statusOf(answer)).toBe(200);
    expect(answer).toContain('"name":"box"');
    expect(answer).toContain("X-Content-Type-Options: nosniff");
    expect(answer.toLowerCase()).not.toContain("access-control-allow");
  }
});

test("without a token nothing is served but the description of the API", async () => {
  for (const path of ["/v1/vms", "/metrics", "/version", "/rpc/vm/list", "/v1/exec", "/nowhere"]) {
    const answer = await raw(lines(`GET ${path}`));
    expect(statusOf(answer), path).toBe(401);
    expect(answer).toContain("WWW-Authenticate: Bearer");
  }
  expect(statusOf(await raw(lines("GET /openapi.json")))).toBe(200);
  const page = await raw(lines("GET /"));
  expect(page).toContain("default-src 'none'; style-src 'sha256-");
  expect(page).toContain("<code>/vms/{name}/suspend</code>");
  expect(page).toContain("Scopes: full, own (its own).");
  expect(page).not.toMatch(
    /<script|<link|<img|https?:(?!\/\/(127\.0\.0\.1|PORT-MACHINE\.localhost):7777)/,
  );
});

const refusedTokens: [string, () => Record<string, string>][] = [
  ["an unknown one", () => ({ Authorization: `Bearer banger_${"0".repeat(64)}` })],
  ["as a cookie", () => ({ Cookie: `token=${secrets.full}; banger=${secrets.full}` })],
  ["as a password", () => ({ Authorization: `Basic ${btoa(`user:${secrets.full}`)}` })],
  ["with something behind it", () => ({ Authorization: `Bearer ${secrets.full} x` })],
  ["twice", () => ({ Authorization: `Bearer ${secrets.full}, Bearer ${secrets.full}` })],
  ["cut short", () => ({ Authorization: `Bearer ${secrets.full.slice(0, -1)}` })],
];
for (const [how, fields] of refusedTokens) {
  test(`a token ${how} is none`, async () => {
    expect(statusOf(await raw(lines("GET /v1/vms", fields())))).toBe(401);
  });
}

test("a token in the address is none", async () => {
  expect(statusOf(await raw(lines(`GET /v1/vms?token=${secrets.full}`)))).toBe(401);
});

test("a revoked or expired token is none", async () => {
  const made = api.tokens.create({ name: "gone" });
  const fields = { Authorization: `Bearer ${made.secret}` };
  expect(statusOf(await raw(lines("GET /v1/vms", fields)))).toBe(200);
  api.tokens.remove("gone");
  expect(statusOf(await raw(lines("GET /v1/vms", fields)))).toBe(401);
  const short = api.tokens.create({ name: "short", ttl_ms: 1000 });
  await Bun.sleep(1001);
  const late = { Authorization: `Bearer ${short.secret}` };
  expect(statusOf(await raw(lines("GET /v1/vms", late)))).toBe(401);
});

const otherPages: [string, () => Record<string, string>][] = [
  ["a name that was made to mean this host", () => ({ Host: `rebind.example.com:${api.port}` })],
  ["a name that ends like one of ours", () => ({ Host: `localhost.example.com:${api.port}` })],
  ["another address", () => ({ Host: `192.0.2.1:${api.port}` })],
  ["a decimal address", () => ({ Host: `2130706433:${api.port}` })],
  ["a Host with a path", () => ({ Host: `localhost:${api.port}/x` })],
  ["a Host with a user", () => ({ Host: `x@localhost:${api.port}` })],
  ["two Hosts", () => ({ Host: "localhost", host: "example.com" })],
  ["an empty Host", () => ({ Host: "" })],
  ["an Origin elsewhere", () => ({ Origin: "https://example.com" })],
  ["an Origin on another port of this host", () => ({ Origin: "http://127.0.0.1:3000" })],
  ["another name of this host", () => ({ Origin: `http://localhost:${api.port}` })],
  ["the other scheme", () => ({ Origin: `https://127.0.0.1:${api.port}` })],
  ["the Origin of a file or sandbox", () => ({ Origin: "null" })],
  ["an empty Origin", () => ({ Origin: "" })],
  ["two Origins", () => ({ Origin: `http://127.0.0.1:${api.port}`, origin: "https://evil" })],
  ["a page of another site, without Origin", () => ({ "Sec-Fetch-Site": "cross-site" })],
  ["a page of the same site", () => ({ "Sec-Fetch-Site": "same-site" })],
];
for (const [who, fields] of otherPages) {
  test(`refused, also with a token: ${who}`, async () => {
    for (const first of ["GET /v1/vms", "GET /openapi.json", "OPTIONS /v1/vms", "GET /v1/exec"]) {
      const answer = await raw(lines(first, { ...bearer(), ...fields() }));
      expect([400, 403], `${first}: ${answer}`).toContain(statusOf(answer));
      expect(answer).not.toContain('"name":"box"');
    }
    expect([400, 403]).toContain(statusOf(await raw(simplePost({ ...bearer(), ...fields() }))));
  });
}

test("a simple POST, as a form sends it, is refused even where a token came along", async () => {
  for (const type of [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
  ]) {
    const answer = await raw(simplePost({ ...bearer(), "Content-Type": type }));
    expect(statusOf(answer), type).toBe(400);
  }
});

test("a preflight permits nothing", async () => {
  const answer = await raw(
    lines("OPTIONS /v1/vms", {
      Origin: "https://example.com",
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "authorization",
    }),
  );
  expect(statusOf(answer)).toBe(403);
  expect(answer.toLowerCase()).not.toContain("access-control-allow");
});

const upgrade = {
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Protocol": "banger.exec.v1",
};

test("a WebSocket of a page is refused, with a token and without", async () => {
  const page = { Origin: "https://example.com" };
  expect(statusOf(await raw(lines("GET /v1/exec", { ...upgrade, ...page })))).toBe(403);
  expect(statusOf(await raw(lines("GET /v1/exec", { ...upgrade, ...page, ...bearer() })))).toBe(
    403,
  );
  expect(statusOf(await raw(lines("GET /v1/exec", upgrade)))).toBe(401);
  const asProtocol = { "Sec-WebSocket-Protocol": `banger.exec.v1, banger.token.${secrets.full}` };
  const cookie = { Cookie: `token=${secrets.full}` };
  expect(statusOf(await raw(lines("GET /v1/exec", { ...upgrade, ...page, ...asProtocol })))).toBe(
    403,
  );
  expect(statusOf(await raw(lines("GET /v1/exec", { ...upgrade, ...cookie })))).toBe(401);
});

test("a WebSocket with a token in its subprotocols is open, and ends when that is revoked", async () => {
  const { secret } = api.tokens.create({ name: "socket" });
  const web = new WebSocket(`ws://127.0.0.1:${api.port}/v1/exec`, [
    "banger.exec.v1",
    `banger.token.${secret}`,
  ]);
  await new Promise((resolve) => web.addEventListener("open", resolve));
  expect(web.protocol).toBe("banger.exec.v1");
  const closed = new Promise<number>((resolve) =>
    web.addEventListener("close", ({ code }) => resolve(code)),
  );
  api.tokens.remove("socket");
  expect(await closed).toBe(1008);
});

test("a stream ends when its token is revoked, and when it expires", async () => {
  for (const end of ["revoked", "expired"]) {
    const ttl_ms = end === "expired" ? 1500 : undefined;
    const { secret } = api.tokens.create({ name: end, scope: "full", ttl_ms });
    const headers = { Authorization: `Bearer ${secret}` };
    const { body } = await fetch(`${api.url}/v1/system/events`, { headers });
    let text = "";
    for await (const chunk of body ?? []) {
      text += Buffer.from(chunk).toString();
      if (end === "revoked" && text.includes('"running"')) api.tokens.remove(end);
    }
    expect(text).toContain('"running"');
  }
});

const smuggled = "GET /v1/vms HTTP/1.1\r\nHost: localhost\r\n\r\n";
const malformed: [string, () => string][] = [
  [
    "Content-Length and Transfer-Encoding",
    () =>
      lines(
        "POST /v1/vms/prune",
        { "Content-Length": "4", "Transfer-Encoding": "chunked" },
        `0\r\n\r\n${smuggled}`,
      ),
  ],
  [
    "two Content-Lengths",
    () => lines("POST /v1/vms/prune", { "Content-Length": "4", "content-length": "0" }, smuggled),
  ],
  ["an unknown Transfer-Encoding", () => lines("POST /x", { "Transfer-Encoding": "xchunked" })],
  ["a space before the colon", () => lines("POST /x", { "Transfer-Encoding ": "chunked" })],
  ["a folded line", () => lines("GET /x", { "X-Folded": "a\r\n b: c" })],
  ["a NUL", () => lines("GET /x", { "X-Nul": "a\0b" })],
  ["bare line feeds", () => `${lines("GET /x").replaceAll("\r\n", "\n")}\r\n\r\n`],
  ["a negative length", () => lines("POST /x", { "Content-Length": "-1" })],
  ["no version", () => "GET /\r\n\r\n"],
  ["another version", () => lines("GET /x").replace("HTTP/1.1", "HTTP/2.0")],
  ["another protocol", () => "SSH-2.0-client\r\n\r\n"],
  ["a TLS hello", () => "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"],
  ["a header that is too long", () => lines("GET /x", { "X-Long": "a".repeat(17_000) })],
  [
    "too many headers",
    () => lines("GET /x").replace("\r\n\r\n", `\r\n${"X: a\r\n".repeat(4000)}\r\n`),
  ],
  ["an address that is too long", () => lines(`GET /${"a".repeat(17_000)}`)],
];
for (const [what, request] of malformed) {
  test(`refused, and the connection closed: ${what}`, async () => {
    const answer = await raw(request());
    expect(statusOf(answer)).toBeGreaterThanOrEqual(400);
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  });
}

test("a body that is too large is refused before it is sent, and while it is", async () => {
  const large = { ...bearer(), "Content-Type": "application/json", "Content-Length": `${1 << 30}` };
  expect(statusOf(await raw(lines("PUT /v1/vms/box/files/data", large, "{")))).toBe(413);
  const chunked = {
    ...bearer(),
    "Content-Type": "application/json",
    "Transfer-Encoding": "chunked",
  };
  const chunk = `100000\r\n${" ".repeat(1 << 20)}\r\n`;
  const answer = await raw(
    lines("PUT /v1/vms/box/files/data", chunked, `${chunk.repeat(9)}0\r\n\r\n`),
  );
  // The rest of what was sent resets the connection, which may overtake the answer.
  expect(statusOf(answer) || 413).toBe(413);
});

test("a stranger's body is not waited for", async () => {
  const body = { "Content-Type": "application/json", "Content-Length": "1000" };
  expect(statusOf(await raw(lines("POST /v1/vms", body, "{")))).toBe(401);
});

test("a stranger has no second request on a connection", async () => {
  const pair = lines("GET /v1/vms", { Connection: "keep-alive" }) + lines("GET /v1/vms", bearer());
  const answer = await raw(pair);
  expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  expect(statusOf(answer)).toBe(401);
});

async function withFront(
  options: { headTimeout_ms?: number; connectionsMax?: number },
  work: (port: number) => Promise<void>,
): Promise<void> {
  const front = await openFront({
    address: { hostname: "127.0.0.1", port: 0, isLocal: true },
    tls: undefined,
    inner: `${api.folder}/nobody.sock`,
    takePort: ({ client }) => {
      client.end("taken");
      return true;
    },
    ...options,
  });
  try {
    await work(front.port);
  } finally {
    await front.close();
  }
}

test("whoever sends a head byte by byte, or nothing, is not waited for", async () => {
  await withFront({ headTimeout_ms: 300 }, async (port) => {
    expect(await raw("", port)).toStartWith("HTTP/1.1 408 ");
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resume();
    const drip = setInterval(() => socket.write("x"), 20);
    await closed;
    clearInterval(drip);
  });
});

test("connections that say nothing make room for those that do", async () => {
  await withFront({ connectionsMax: 8 }, async (port) => {
    const idle = Array.from({ length: 20 }, () => connect(port, "127.0.0.1").on("error", () => {}));
    const gone = idle.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    await Promise.race(gone);
    expect(await raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", port)).toBe("taken");
    for (const socket of idle) socket.destroy();
  });
});

test("strangers are limited in rate, and take nothing from whoever has a token", async () => {
  const count = STRANGER_RATE.burst * 2;
  const answers = await Promise.all(
    Array.from({ length: count }, () => fetch(`${api.url}/v1/vms`).then(({ status }) => status)),
  );
  expect(answers).toContain(429);
  const { status } = await fetch(`${api.url}/v1/vms`, { headers: bearer() });
  expect(status).toBe(200);
});
