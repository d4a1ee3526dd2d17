import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { daemonResolvers, hostResolvers, parseResolvConf } from "./resolvers.ts";

const folder = mkdtempSync(join(tmpdir(), "banger-resolvers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
function file(text: string): string {
  const path = join(folder, `resolv-${count++}.conf`);
  writeFileSync(path, text);
  return path;
}

function servers(...texts: string[]): string[] {
  return hostResolvers(texts.map(file)).servers;
}

test("hostResolvers() takes the servers of the first file that a guest can reach", () => {
  expect(servers("# made by hand\nsearch lan\nnameserver 192.0.2.53\n")).toEqual(["192.0.2.53"]);
  expect(
    servers("nameserver 127.0.0.53\n", "nameserver 192.0.2.1\nnameserver 192.0.2.2\n"),
  ).toEqual(["192.0.2.1", "192.0.2.2"]);
  expect(servers("nameserver 127.0.0.1\nnameserver 192.0.2.9\n", "nameserver 192.0.2.1\n")).toEqual(
    ["192.0.2.9"],
  );
});

test("hostResolvers() says so when there is none", () => {
  for (const text of [
    "",
    "nameserver ::1\n",
    "nameserver 127.0.0.53",
    "nameserver fe80::1%eth0",
    "nameserver 0.0.0.0",
  ]) {
    const path = file(text);
    const found = hostResolvers([path]);
    expect(found.servers).toEqual([]);
    expect(found.warning).toContain(path);
  }
  expect(hostResolvers([join(folder, "missing")]).warning).toContain("no DNS server");
});

test("hostResolvers() gives three servers at the most, and reads no endless file", () => {
  const many = Array.from({ length: 9 }, (_, index) => `nameserver 192.0.2.${index + 1}`);
  expect(servers(many.join("\n"))).toHaveLength(3);
  expect(servers(`${"#".repeat(70_000)}\nnameserver 192.0.2.1\n`)).toEqual([]);
});

test("daemonResolvers() takes those on loopback as well, but never the daemon itself", () => {
  const text = "nameserver 127.0.0.53\nnameserver 10.241.0.1\nnameserver fd00::53\n";
  const found = daemonResolvers((address) => address === "10.241.0.1", file(text));
  expect(found as object[]).toEqual([
    { address: "127.0.0.53", port: 53 },
    { address: "fd00::53", port: 53 },
  ]);
  expect(daemonResolvers(undefined, join(folder, "missing"))).toEqual([]);
});

test("parseResolvConf() reads nameserver lines only", () => {
  const text =
    "  nameserver\t192.0.2.1 # first\n;nameserver 192.0.2.2\nnameserver\nnameservers 192.0.2.3\n";
  expect(parseResolvConf(text) as string[]).toEqual(["192.0.2.1"]);
});
