/** What a proxy does on the way to a registry is said of the proxy. */
import { afterEach, expect, test } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { bangerErrorOf } from "#test/expect-error.ts";
import { statusFailure } from "./failure.ts";
import { send } from "./transport.ts";

const names = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "no_proxy", "http_proxy", "https_proxy"];
const before = names.map((name) => [name, process.env[name]] as const);
const { signal } = new AbortController();

afterEach(() => {
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

function useProxy(address: string): void {
  for (const name of names) delete process.env[name];
  process.env["HTTP_PROXY"] = address;
  process.env["HTTPS_PROXY"] = address;
}

/** Answers every request itself, and every wish for a tunnel. */
async function startProxy(status: string) {
  const server = createServer((_, response) =>
    response.writeHead(Number(status.slice(0, 3))).end(),
  );
  server.on("connect", (_, socket) => {
    socket.on("error", () => undefined);
    socket.end(`HTTP/1.1 ${status}\r\n\r\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://me:secret@127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.dispose]: () => void server.close(),
  };
}

test("a proxy that wants a login is named, over HTTP and TLS", async () => {
  using proxy = await startProxy("407 Proxy Authentication Required");
  useProxy(proxy.address);
  const { response } = await send({ url: new URL("http://registry.invalid/v2/"), signal });
  const plain = await statusFailure(response, { action: "pull x", host: "registry.invalid" });
  const tls = await bangerErrorOf(send({ url: new URL("https://registry.invalid/v2/"), signal }));
  for (const { message, hint } of [plain, tls]) {
    expect(message).toMatch(/proxy "http:\/\/127\.0\.0\.1:\d+" responded with 407/);
    expect(message).not.toContain("secret");
    expect(hint).toContain("USER:PASSWORD@");
  }
});

test("what comes by way of a proxy says so", async () => {
  using proxy = await startProxy("502 Bad Gateway");
  useProxy(proxy.address);
  const { response } = await send({ url: new URL("http://registry.invalid/v2/"), signal });
  const plain = await statusFailure(response, { action: "pull x", host: "registry.invalid" });
  expect(plain.message).toMatch(/"registry.invalid" through proxy "http:.* responded with 502/);
  const tls = await bangerErrorOf(send({ url: new URL("https://registry.invalid/v2/"), signal }));
  expect(tls.message).toMatch(/"registry.invalid": proxy .* responded with 502 Bad Gateway/);
});

test("a proxy that does not exist is what cannot be reached; a registry on loopback needs none", async () => {
  using registry = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("here") });
  useProxy("http://127.0.0.1:1");
  for (const scheme of ["http", "https"]) {
    const error = await bangerErrorOf(
      send({ url: new URL(`${scheme}://registry.invalid/`), signal }),
    );
    expect(error.message).toMatch(/Cannot reach proxy "http:\/\/127\.0\.0\.1:1" from the env/);
  }
  const url = new URL(`http://127.0.0.1:${registry.port}/`);
  expect(await (await send({ url, signal })).response.text()).toBe("here");
});
