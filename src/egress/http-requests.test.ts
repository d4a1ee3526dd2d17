import { expect, test } from "bun:test";
import fc from "fast-check";
import { classify } from "./first-bytes.ts";
import { splitAuthority } from "./http-head.ts";
import { HttpRequests } from "./http-requests.ts";

/** Sends all of it at once; gives what passed, for whom, or the reason why no more did. */
function send(...chunks: string[]) {
  const hosts: string[] = [];
  const requests = new HttpRequests(({ authority }) => {
    hosts.push(authority);
    if (authority === "evil.test") throw new Error("not allowed");
  });
  let passed = "";
  try {
    for (const chunk of chunks)
      passed += Buffer.concat(requests.take(Buffer.from(chunk, "latin1")));
    return { passed, hosts, requests };
  } catch (error) {
    return { passed, hosts, reason: (error as Error).message };
  }
}

const GET = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const EVIL = "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n";

test("each request on a connection is admitted by its own Host", () => {
  const body = "POST /a HTTP/1.1\r\nHost: shop.test:80\r\nContent-Length: 4\r\n\r\nGET ";
  const chunked = `PUT / HTTP/1.1\r\nHost: SHOP.test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n${"x".repeat(5)}\r\n0\r\nX: y\r\n\r\n`;
  const whole = `${GET}${body}${chunked}${GET}`;
  expect(send(whole)).toMatchObject({
    passed: whole,
    hosts: ["shop.test", "shop.test:80", "shop.test", "shop.test"],
  });
  // However the packets are cut.
  fc.assert(
    fc.property(fc.array(fc.nat(whole.length), { maxLength: 30 }), (cuts) => {
      const ends = [...cuts, whole.length].sort((a, b) => a - b);
      const chunks = ends.map((end, index) => whole.slice(ends[index - 1] ?? 0, end));
      expect(send(...chunks)).toMatchObject({ passed: whole, hosts: { length: 4 } });
    }),
  );
  expect(send(`${GET}${body}${EVIL}${GET}`)).toMatchObject({
    reason: "not allowed",
    hosts: ["shop.test", "shop.test:80", "evil.test"],
  });
});

test("what two servers could read differently is refused", () => {
  const cases: [string, string][] = [
    ["GET / HTTP/1.1\r\n\r\n", "exactly one Host"],
    ["GET / HTTP/1.1\r\nHost: a.test\r\nHost: evil.test\r\n\r\n", "exactly one Host"],
    ["GET / HTTP/1.1\r\nHost: a.test\r\n Host: evil.test\r\n\r\n", "malformed"],
    ["GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", "malformed"],
    ["GET / HTTP/1.1\nHost: evil.test\n\r\nHost: a.test\r\n\r\n", "malformed"],
    ["GET / HTTP/1.1\r\nHost: a.test\r\nX: y\rHost: evil.test\r\n\r\n", "malformed"],
    ["GET / HTTP/1.1\r\nHost: a.test\r\nX: y\0z\r\n\r\n", "malformed"],
    ["GET /\0 HTTP/1.1\r\nHost: a.test\r\n\r\n", "malformed"],
    ["\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "malformed"],
    ["GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n", "malformed"],
    ["GET http://evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "target and Host"],
    ["GET http://a.test@evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "target and Host"],
    ["GET //evil.test HTTP/2.0\r\nHost: a.test\r\n\r\n", "malformed"],
    ["CONNECT evil.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", "CONNECT"],
    ["connect evil.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", "CONNECT"],
    [
      "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      "ambiguous",
    ],
    ["POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "ambiguous"],
    ["POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n", "ambiguous"],
    ["POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "ambig"],
    ["POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +1\r\n\r\n", "ambiguous"],
    [`GET / HTTP/1.1\r\nHost: a.test\r\nX: ${"y".repeat(70_000)}\r\n\r\n`, "too large"],
  ];
  for (const [text, reason] of cases) {
    expect({ text: text.slice(0, 80), got: send(text).reason }).toEqual({
      text: text.slice(0, 80),
      got: expect.stringContaining(reason),
    });
  }
  const chunks = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const body of [
    "5\nhello\r\n",
    "5;a\n\r\nhello\r\n",
    "5;a\rb\r\nhello\r\n",
    " 5\r\nhello\r\n",
    "0\r\nX: y\nZ: z\r\n\r\n",
    "0x5\r\n",
    "\r\n",
    "5\r\nhelloEVIL",
    `1;${"x".repeat(300)}\r\n`,
  ]) {
    expect(send(chunks + body).reason).toContain("malformed");
  }
});

test("a WebSocket passes once the server has switched, and anything else goes on being read", () => {
  const upgrade = "GET / HTTP/1.1\r\nHost: shop.test\r\nUpgrade: websocket\r\n\r\n";
  const switched = send(upgrade, EVIL);
  expect(switched.passed).toBe(upgrade);
  expect(Buffer.concat(switched.requests?.upgraded(true) ?? []).toString()).toBe(EVIL);
  const refused = send(upgrade, EVIL);
  expect(() => refused.requests?.upgraded(false)).toThrow("not allowed");
  // HTTP/2 without TLS is not read here, and neither is what comes after other requests.
  const h2c = "GET / HTTP/1.1\r\nHost: shop.test\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
  expect(send(h2c, GET).passed).toBe(`${GET}${GET}`);
  expect(send(GET, upgrade, GET).passed).toBe(`${GET}${GET}${GET}`);
});

test("HTTP is told from other protocols, whatever is in front of it", () => {
  const kindOf = (text: string) => classify(Buffer.from(text, "latin1")).kind;
  expect(kindOf("GET / HTTP/1.1\r\n")).toBe("http");
  expect(kindOf("\r\n\r\nget / http/1.1\n")).toBe("http");
  expect(kindOf("GET /")).toBe("partial");
  expect(kindOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).toBe("refused");
  expect(kindOf("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")).toBe("other");
  expect(kindOf("\u0005\u0001\0")).toBe("other");
  expect(kindOf("*1\r\n$4\r\nPING\r\n")).toBe("other");
  expect(kindOf("")).toBe("partial");
});

test("splitAuthority() takes a name or an address with a port", () => {
  expect(splitAuthority("Shop.Test.:8080")).toEqual({ host: "shop.test", port: 8080 });
  expect(splitAuthority("[2001:db8::1]:80")).toEqual({ host: "2001:db8::1", port: 80 });
  expect(splitAuthority("shop.test")).toEqual({ host: "shop.test", port: undefined });
  for (const text of ["", "a test", "a.test:x", "a@b.test", "a.test:1:2", "[a.test]"]) {
    expect(splitAuthority(text)).toBeUndefined();
  }
});
