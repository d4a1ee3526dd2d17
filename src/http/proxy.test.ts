import { expect, test } from "bun:test";
import { bangerErrorOf } from "#test/expect-error.ts";
import { fetchBy, proxyFor } from "./proxy.ts";

const PROXY = "http://proxy.example:3128";
const both = { HTTP_PROXY: PROXY, HTTPS_PROXY: PROXY };

test.each([
  ["https://registry.example/", { HTTPS_PROXY: PROXY }, true],
  ["https://registry.example/", { HTTP_PROXY: PROXY }, false],
  ["http://registry.example/", { http_proxy: PROXY }, true],
  ["http://registry.example/", { all_proxy: "proxy.example:3128" }, true],
  ["http://localhost:5000/", both, false],
  ["http://127.0.0.1:5000/", both, false],
  ["http://127.9.9.9/", both, false],
  ["http://[::1]:5000/", both, false],
  ["http://10.1.2.3/", both, true],
  ["http://10.1.2.3/", { ...both, NO_PROXY: "192.168.0.0/16, 10.0.0.0/8" }, false],
  ["http://11.1.2.3/", { ...both, NO_PROXY: "10.0.0.0/8" }, true],
  ["http://[fd00::7]/", { ...both, no_proxy: "fd00::/8" }, false],
  ["http://[fe00::7]/", { ...both, no_proxy: "fd00::/8" }, true],
  ["http://10.1.2.3/", { ...both, NO_PROXY: "10.1.2.3" }, false],
  ["https://registry.corp.example/", { ...both, NO_PROXY: ".corp.example" }, false],
  ["https://registry.corp.example/", { ...both, NO_PROXY: "*.corp.example" }, false],
  ["https://registry.corp.example/", { ...both, NO_PROXY: "corp.example" }, false],
  ["https://corp.example/", { ...both, NO_PROXY: "CORP.example" }, false],
  ["https://corp.example/", { ...both, NO_PROXY: ".corp.example" }, true],
  ["https://mycorp.example/", { ...both, NO_PROXY: "corp.example" }, true],
  ["https://corp.example:5000/", { ...both, NO_PROXY: "corp.example:5000" }, false],
  ["https://corp.example/", { ...both, NO_PROXY: "corp.example:443" }, false],
  ["https://corp.example/", { ...both, NO_PROXY: "corp.example:5000" }, true],
  ["https://corp.example/", { ...both, NO_PROXY: "a.example *" }, false],
  ["https://corp.example/", { ...both, NO_PROXY: "10.0.0.0/99,/8,[::1" }, true],
])("proxyFor(%s) with %j: %p", (url, environment, isProxied) => {
  expect(proxyFor(new URL(url), environment)?.host).toBe(
    isProxied ? "proxy.example:3128" : undefined,
  );
});

test("a proxy that cannot be used is named, without its login", () => {
  const use = async (HTTP_PROXY: string) => proxyFor(new URL("http://a.example/"), { HTTP_PROXY });
  return Promise.all([
    bangerErrorOf(use("socks5://me:secret@proxy.example:1080")).then((error) => {
      expect(error.code).toBe("unsupported");
      expect(error.message).toContain('"socks5://proxy.example:1080"');
    }),
    bangerErrorOf(use("http://a b")).then((error) => expect(error.code).toBe("invalid_argument")),
  ]);
});

test("fetchBy() goes where it is told to, whatever the environment says", async () => {
  using origin = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("origin") });
  using proxy = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("proxy") });
  const url = new URL(`http://127.0.0.1:${origin.port}/`);
  const way = new URL(`http://127.0.0.1:${proxy.port}/`);
  const before = { ...process.env };
  try {
    process.env["HTTP_PROXY"] = way.href;
    process.env["NO_PROXY"] = "nowhere.example";
    expect(await (await fetchBy(undefined, url, {})).text()).toBe("origin");
    process.env["NO_PROXY"] = "127.0.0.1";
    expect(await (await fetchBy(way, url, {})).text()).toBe("proxy");
    expect(process.env["NO_PROXY"]).toBe("127.0.0.1");
  } finally {
    for (const name of ["HTTP_PROXY", "NO_PROXY"]) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
});
