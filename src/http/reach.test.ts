import { expect, test } from "bun:test";
import { createAuthorizer } from "#oci/registry/auth.ts";
import { endpointsOf } from "#oci/registry/endpoint.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { addressesOf, checkReach, reachOf } from "./reach.ts";
import { send } from "./transport.ts";

test.each([
  ["127.0.0.1", "loopback"],
  ["0.0.0.0", "loopback"],
  ["::1", "loopback"],
  ["::", "loopback"],
  ["::ffff:127.0.0.1", "loopback"],
  ["::ffff:7f00:1", "loopback"],
  ["169.254.169.254", "link-local"],
  ["::ffff:169.254.169.254", "link-local"],
  ["fe80::1", "link-local"],
  ["224.0.0.1", "link-local"],
  ["255.255.255.255", "link-local"],
  ["10.0.0.1", "private"],
  ["172.31.255.255", "private"],
  ["192.168.1.1", "private"],
  ["100.64.0.1", "private"],
  ["::10.0.0.1", "private"],
  ["fd00:ec2::254", "link-local"],
  ["168.63.129.16", "link-local"],
  ["64:ff9b::a9fe:a9fe", "private"],
  ["2002:7f00:1::", "private"],
  ["::ffff:0:7f00:1", "private"],
  ["172.32.0.1", "public"],
  ["203.0.113.7", "public"],
  ["2600::1", "public"],
])("reachOf(%p) is %p", (address, reach) => {
  expect(reachOf(address)).toBe(reach as ReturnType<typeof reachOf>);
});

const url = (text: string) => new URL(text);

test.each([
  ["https://203.0.113.7/", "https://198.51.100.9/", true],
  ["https://203.0.113.7/", "https://203.0.113.7:5001/", true],
  ["https://203.0.113.7/", "https://10.0.0.1/", false],
  ["https://203.0.113.7/", "https://127.0.0.1/", false],
  ["http://203.0.113.7/", "http://169.254.169.254/", false],
  ["http://203.0.113.7/", "http://0x7f.1/", false],
  ["http://203.0.113.7/", "http://localhost/", false],
  ["http://203.0.113.7/", "http://[::ffff:169.254.169.254]/", false],
  ["http://10.0.0.1/", "http://192.168.0.1/", true],
  ["http://10.0.0.1/", "http://127.0.0.1/", false],
  ["http://10.0.0.1/", "http://169.254.169.254/", false],
  ["http://127.0.0.1:5000/", "http://10.0.0.1/", true],
  ["http://127.0.0.1:5000/", "http://169.254.169.254/", false],
  ["http://127.0.0.1:5000/", "http://localhost:5001/", true],
  ["http://localhost:5000/", "http://[::1]:5001/", true],
])("from %s, %s may be asked: %p", async (home, target, isAllowed) => {
  const check = checkReach(url(target), { home: url(home) });
  if (isAllowed) await check;
  else expect((await bangerErrorOf(check)).message).toContain(url(target).host);
});

test("a server on the user's list may be asked wherever it is, and no other port of its host", async () => {
  const trusted = ["10.0.0.1:5000"];
  await checkReach(url("http://10.0.0.1:5000/"), { home: url("http://203.0.113.7/"), trusted });
  const other = checkReach(url("http://10.0.0.1/"), { home: url("http://203.0.113.7/"), trusted });
  expect((await bangerErrorOf(other)).code).toBe("unavailable");
});

test("what a name means is looked up once, and that address is asked by the name", async () => {
  const hosts: (string | null)[] = [];
  using server: Bun.Server<undefined> = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request): Response {
      hosts.push(request.headers.get("host"));
      return request.url.endsWith("/there")
        ? new Response("there")
        : Response.redirect(`http://localhost:${server.port}/there`, 302);
    },
  });
  expect(
    await checkReach(url(`http://localhost:${server.port}/`), { home: url("http://127.0.0.1/") }),
  ).toMatch(/^(127\.0\.0\.1|::1)$/);
  const { signal } = new AbortController();
  const { response } = await send({ url: url(`http://127.0.0.1:${server.port}/`), signal });
  expect(await response.text()).toBe("there");
  expect(hosts).toEqual([`127.0.0.1:${server.port}`, `localhost:${server.port}`]);
});

test("a name that cannot be looked up is not left for the connection to look up", async () => {
  const target = url("http://name.invalid/");
  const error = await bangerErrorOf(checkReach(target, { home: url("http://203.0.113.7/") }));
  expect(error).toMatchObject({ code: "unavailable", isUnreachable: true });
  expect(error.message).toContain("no such host");
});

test("a name that means loopback by now is no reason to lead there", async () => {
  const home = url("http://evil.test/");
  const resolve = ({ hostname }: URL): Promise<string[]> =>
    Promise.resolve(hostname === "evil.test" ? ["127.0.0.1", "169.254.169.254"] : [hostname]);
  for (const target of ["http://127.0.0.1/", "http://169.254.169.254/"]) {
    const error = await bangerErrorOf(checkReach(url(target), { home, resolve }));
    expect(error.message).toContain("redirects to");
  }
});

test("a proxy for the web does not hide where git's own protocol leads", async () => {
  const before = process.env["HTTP_PROXY"];
  process.env["HTTP_PROXY"] = "http://192.0.2.1:3128";
  try {
    expect(await addressesOf(url("http://name.invalid/"))).toEqual([]);
    await expect(addressesOf(url("git://name.invalid/"))).rejects.toThrow("no such host");
  } finally {
    if (before === undefined) delete process.env["HTTP_PROXY"];
    else process.env["HTTP_PROXY"] = before;
  }
});

test("a redirect to a metadata service is not followed", async () => {
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => Response.redirect("http://169.254.169.254/latest/meta-data/", 302),
  });
  const { signal } = new AbortController();
  const error = await bangerErrorOf(send({ url: url(`http://127.0.0.1:${server.port}/`), signal }));
  expect(error.message).toContain("169.254.169.254");
  expect(error.hint).toContain("registry.insecure");
});

test.each([
  ["http://198.51.100.9/token", {}, /plain HTTP/],
  ["http://169.254.169.254/token", {}, /plain HTTP/],
  ["https://169.254.169.254/token", {}, /redirects to/],
  ["ftp://127.0.0.1/token", {}, /no usable token server/],
  ["http://user:pass@127.0.0.1/token", {}, /plain HTTP|safely/],
])(
  "a registry that names %s as its token server gets no login",
  async (realm, options, message) => {
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        new Response("", {
          status: 401,
          headers: { "www-authenticate": `Bearer realm="${realm}"` },
        }),
    });
    const [endpoint] = endpointsOf(`127.0.0.1:${server.port}`, options);
    if (!endpoint) throw new Error("no endpoint");
    const authorizer = createAuthorizer(endpoint, { repository: "a/b", dockerConfigPath: "/none" });
    const { signal } = new AbortController();
    const error = await bangerErrorOf(authorizer.send({ url: endpoint.base, signal }));
    expect(error.message).toMatch(message);
  },
);
