import { expect, test } from "bun:test";
import { bangerErrorOf } from "#test/expect-error.ts";
import { checkSource } from "./url-policy.ts";

const check = (text: string, address: string, privateHosts: string[] = []) =>
  checkSource(new URL(text), { privateHosts, resolve: async () => [address] });

test("a name may lead to the outside, and nowhere else", async () => {
  expect(await check("http://files.test/x", "198.51.100.7")).toBe("198.51.100.7");
  for (const address of [
    ...["127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"],
    ...["::ffff:10.1.2.3", "2002:a01:203::1", "64:ff9b::a01:203"],
  ]) {
    for (const scheme of ["http", "https", "git"]) {
      const error = await bangerErrorOf(check(`${scheme}://files.test/x`, address));
      expect({ address, code: error.code as string }).toEqual({
        address,
        code: "permission_denied",
      });
      expect(error.hint).toContain('add "files.test" to build.private_hosts');
    }
  }
});

test("an address in the URL, and a listed server, mean what they say", async () => {
  expect(await check("http://10.1.2.3/x", "10.1.2.3")).toBe("10.1.2.3");
  expect(await check("http://localhost:8000/x", "127.0.0.1")).toBe("127.0.0.1");
  expect(await check("http://files.test:81/x", "10.1.2.3", ["Files.test"])).toBe("10.1.2.3");
  expect(await check("http://files.test:81/x", "10.1.2.3", ["files.test:81"])).toBe("10.1.2.3");
  expect((await bangerErrorOf(check("http://0.0.0.0/x", "0.0.0.0"))).code).toBe(
    "permission_denied",
  );
  const other = check("http://files.test:82/x", "10.1.2.3", ["files.test:81"]);
  expect((await bangerErrorOf(other)).code).toBe("permission_denied");
});

test("what a cloud says to its computers is closed, listed or not", async () => {
  for (const address of ["169.254.169.254", "fe80::1", "168.63.129.16"]) {
    const listed = check("http://files.test/x", address, ["files.test"]);
    expect((await bangerErrorOf(listed)).code).toBe("permission_denied");
  }
});
