import { expect, test } from "bun:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { HOST, PLACEHOLDER, Site, selfSigned, VALUE } from "#test/intercept.ts";
import { makeAuthority } from "./certificates.ts";

const VERSIONS = ["--http1.1", "--http2"];
const BEARER = `Authorization: Bearer ${PLACEHOLDER}`;

for (const version of VERSIONS) {
  const name = version.slice(2);

  test(`the value takes the placeholder's place in Authorization, over ${name}`, async () => {
    await using site = await Site.open();
    const { status, body } = await site.curl(
      version,
      "-H",
      BEARER,
      "-d",
      "a=b",
      `https://${HOST}/x?y=1`,
    );
    expect([status, body]).toEqual([200, `${version === "--http2" ? "2.0" : "1.1"} POST /x?y=1 3`]);
    expect(site.seen[0]?.headers.authorization).toBe(`Bearer ${VALUE}`);
    expect(site.received).not.toContain(PLACEHOLDER);
    expect(site.decisions).toEqual([{ verdict: "allow", reason: "put in", secret: "TOKEN" }]);
  });

  test(`Basic is decoded and encoded again, over ${name}`, async () => {
    await using site = await Site.open();
    expect((await site.curl(version, "-u", `me:${PLACEHOLDER}`)).status).toBe(200);
    const basic = Buffer.from(`me:${VALUE}`).toString("base64");
    expect(site.seen[0]?.headers.authorization).toBe(`Basic ${basic}`);
  });

  test(`a placeholder anywhere else is refused, over ${name}`, async () => {
    await using site = await Site.open();
    const inBase64 = Buffer.from(`x${PLACEHOLDER}`).toString("base64");
    const wrong: [string, string[]][] = [
      ["the query", [`https://${HOST}/?token=${PLACEHOLDER}`]],
      ["the path", [`https://${HOST}/${PLACEHOLDER}/x`]],
      ["the path", [`https://${HOST}/%62${PLACEHOLDER.slice(1)}`]],
      ["header x-other", ["-H", `X-Other: ${PLACEHOLDER}`]],
      ["header x-other", ["-H", BEARER, "-H", `X-Other: ${PLACEHOLDER}`]],
      ["the query", ["-H", BEARER, `https://${HOST}/?token=${PLACEHOLDER}`]],
      ["header cookie", ["-H", `Cookie: a=${PLACEHOLDER}`]],
      ["header x-other", ["-H", `X-Other: ${inBase64}`]],
      ["the body", ["-d", `token=${PLACEHOLDER}`]],
      ["the body", ["-d", inBase64]],
      ["the body", ["-d", `${"z".repeat(90_000)}${PLACEHOLDER}`]],
      ["Authorization", ["-H", `Authorization: Custom ${inBase64}`]],
    ];
    for (const [place, args] of wrong) {
      const { status, body } = await site.curl(version, ...args);
      expect([status, body, args]).toEqual([
        403,
        `banger: secret TOKEN is not allowed in ${place}\n`,
        args,
      ]);
    }
    expect(site.received).not.toContain(PLACEHOLDER);
    expect(site.received).not.toContain(VALUE);
    expect(site.decisions.every(({ verdict }) => verdict === "deny")).toBe(true);
  });

  test(`named headers, the query and the body are for those that were asked for, over ${name}`, async () => {
    await using site = await Site.open({
      secret: { headers: ["x-api-key"], inQuery: true, inBody: true },
    });
    const { status } = await site.curl(
      version,
      "-H",
      `X-Api-Key: ${PLACEHOLDER}`,
      "-d",
      `a=${PLACEHOLDER}&b=${PLACEHOLDER}`,
      `https://${HOST}/?k=${PLACEHOLDER}`,
    );
    expect(status).toBe(200);
    const form = encodeURIComponent(VALUE);
    expect(site.seen[0]).toMatchObject({
      path: `/?k=${form}`,
      body: Buffer.from(`a=${form}&b=${form}`),
    });
    expect(site.seen[0]?.headers["x-api-key"]).toBe(VALUE);
    const wrong = await site.curl(version, "-H", `X-Other: ${PLACEHOLDER}`);
    expect(wrong.status).toBe(403);
  });

  test(`a compressed body is searched, and still compressed when it arrives, over ${name}`, async () => {
    await using site = await Site.open({ secret: { inBody: true } });
    const path = `${site.folder}/body.gz`;
    await Bun.write(path, gzipSync(`token ${PLACEHOLDER}`));
    const gzip = [
      "-H",
      "Content-Type: text/plain",
      "-H",
      "Content-Encoding: gzip",
      "--data-binary",
      `@${path}`,
    ];
    expect((await site.curl(version, ...gzip)).status).toBe(200);
    expect(gunzipSync(site.seen[0]?.body ?? "").toString()).toBe(`token ${VALUE}`);
    await using strict = await Site.open();
    expect(await strict.curl(version, ...gzip)).toMatchObject({ status: 403 });
    const unknown = ["-H", "Content-Encoding: compress", "-d", "x"];
    expect(await strict.curl(version, ...unknown)).toMatchObject({ status: 415 });
    // Nothing of the body has arrived, and what has is no whole request.
    expect(strict.seen).toEqual([]);
  });

  test(`a value that comes back is covered, over ${name}`, async () => {
    const echo = `raw ${VALUE}, basic ${Buffer.from(`me:${VALUE}`).toString("base64")}, url ${encodeURIComponent(VALUE)}`;
    await using site = await Site.open({
      answer: (_, response) => {
        response.setHeader("x-echo", `got ${VALUE}`);
        response.setHeader("alt-svc", 'h3=":443"');
        response.write(echo.slice(0, 10));
        // In the middle of the value.
        setTimeout(() => response.end(echo.slice(10)), 20);
      },
    });
    const { body, headers, status } = await site.curl(version, "-H", BEARER);
    expect(status).toBe(200);
    expect(headers).toContain(`x-echo: got ${"*".repeat(VALUE.length)}`);
    expect(headers).not.toContain("alt-svc");
    expect(body).toHaveLength(echo.length);
    expect(body).toStartWith(`raw ${"*".repeat(VALUE.length)}, basic `);
    for (const form of [
      VALUE,
      encodeURIComponent(VALUE),
      Buffer.from(VALUE).toString("base64").slice(0, 12),
    ]) {
      expect(body).not.toContain(form);
    }
    expect(
      Buffer.from(/basic (\S+),/.exec(body)?.[1]?.replaceAll("*", "A") ?? "", "base64").toString(),
    ).not.toContain(VALUE.slice(2, -2));
  });

  test(`an answer is compressed only where nobody asked, and is searched then, over ${name}`, async () => {
    await using site = await Site.open({
      answer: (_, response) => {
        response.setHeader("content-encoding", "gzip");
        response.end(gzipSync(`token ${VALUE}`));
      },
    });
    const { body, headers } = await site.curl(version, "--compressed");
    expect(site.seen[0]?.headers["accept-encoding"]).toBe("identity");
    expect(headers).not.toContain("content-encoding");
    expect(body).toBe(`token ${"*".repeat(VALUE.length)}`);
  });

  test(`a large body goes through both ways, over ${name}`, async () => {
    const big = Buffer.alloc(3_000_000, "0123456789");
    await using site = await Site.open({ answer: ({ body }, response) => response.end(body) });
    const path = `${site.folder}/big`;
    await Bun.write(path, big);
    const { body, status } = await site.curl(version, "-H", "Expect:", "--data-binary", `@${path}`);
    expect(status).toBe(200);
    expect(body).toHaveLength(big.length);
    expect(site.seen[0]?.body.equals(big)).toBe(true);
  });

  test(`a request for another host is refused, over ${name}`, async () => {
    await using site = await Site.open();
    const { status, body } = await site.curl(version, "-H", "Host: other.test", "-H", BEARER);
    expect([status, body]).toEqual([421, "banger: other.test is not api.test\n"]);
    expect(site.seen).toEqual([]);
  });

  test(`a secret of another host is refused, over ${name}`, async () => {
    const other = {
      name: "OTHER",
      hosts: ["other.test"],
      placeholder: "banger_other_0123456789abcdef",
    };
    await using site = await Site.open({ others: [other] });
    const { status, body } = await site.curl(
      version,
      "-H",
      `Authorization: Bearer ${other.placeholder}`,
    );
    expect([status, body]).toEqual([403, "banger: secret OTHER is not for api.test:443\n"]);
    expect(site.seen).toEqual([]);
  });
}

test("an answer that comes before all of the request has is passed on, over http2", async () => {
  await using site = await Site.open();
  site.server.removeAllListeners("request");
  site.server.on("request", (_, response) => {
    response.writeHead(413);
    // With NO_ERROR, as RFC 9113 has it for an answer that needs no more of the request.
    response.end("too large", () => response.stream.close(0));
  });
  const path = `${site.folder}/big`;
  await Bun.write(path, Buffer.alloc(4_000_000, "x"));
  const words = ["-H", BEARER, "--data-binary", `@${path}`];
  const { status, body, code } = await site.curl("--http2", "-H", "Expect:", ...words);
  expect([status, body, code]).toEqual([413, "too large", 0]);
});

test("a server whose certificate is not for the host, out of date or signed by nobody gets nothing", async () => {
  const real = await makeAuthority(Buffer.alloc(32, 9), "the real world");
  const stranger = await makeAuthority(Buffer.alloc(32, 1), "a stranger");
  const wrong = [
    { certificate: await real.leaf("other.test"), reason: /altnames|match/i },
    { certificate: await stranger.leaf(HOST), reason: /verify|issuer|signature/i },
    { certificate: await selfSigned(HOST), reason: /self.signed/i },
    { certificate: await selfSigned(HOST, { until: "2020-02-01" }), reason: /expired/i },
  ];
  for (const [index, { certificate, reason }] of wrong.entries()) {
    // The last one is trusted, and only too old.
    const roots = index === wrong.length - 1 ? certificate.cert : undefined;
    await using site = await Site.open({ certificate, roots });
    const { status, body } = await site.curl("-H", BEARER);
    expect([index, status]).toEqual([index, 502]);
    expect(body).toStartWith(`banger: cannot verify ${HOST}: `);
    expect(body).toMatch(reason);
    expect(site.seen).toEqual([]);
  }
});

test("plain HTTP to the host of a secret goes through, without the secret", async () => {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => new Response(request.headers.get("authorization")),
  });
  try {
    await using site = await Site.open({ gate: { serverPort: Number(server.port), port: 80 } });
    expect(site.interceptor.wants("m1", HOST, 80)).toBe(true);
    const plain = await site.curl("-H", "Authorization: Bearer mine", `http://${HOST}/`);
    expect([plain.status, plain.body]).toEqual([200, "Bearer mine"]);
    const secret = await site.curl("-H", BEARER, `http://${HOST}/`);
    expect([secret.status, secret.body]).toEqual([
      403,
      "banger: secret TOKEN is not sent without TLS\n",
    ]);
  } finally {
    await server.stop(true);
  }
});
