import { expect, test } from "bun:test";
import { hasCapability, tapObstacle } from "./rights.ts";

test("hasCapability() reads the effective set", () => {
  const status = (set: string): string =>
    `Name:\tbun\nCapPrm:\t000001ffffffffff\nCapEff:\t${set}\n`;
  expect(hasCapability(status("0000000000001000"), 12n)).toBe(true);
  expect(hasCapability(status("000001ffffffffff"), 12n)).toBe(true);
  expect(hasCapability(status("000001ffffffefff"), 12n)).toBe(false);
  expect(hasCapability(status("0000000000000000"), 12n)).toBe(false);
  expect(hasCapability("", 12n)).toBe(false);
});

test("tapObstacle() says what is missing and what to do", () => {
  const able = { isAdmin: true, tunErrno: undefined, missing: [] };
  expect(tapObstacle(able)).toBeUndefined();
  expect(tapObstacle({ ...able, isAdmin: false })).toMatchObject({
    code: "permission_denied",
    hint: expect.stringContaining("--net user"),
  });
  expect(tapObstacle({ ...able, missing: ["nft"] })).toMatchObject({
    code: "unsupported",
    hint: expect.stringContaining("nftables"),
  });
  expect(tapObstacle({ ...able, tunErrno: "ENOENT" })?.hint).toContain("modprobe tun");
  expect(tapObstacle({ ...able, tunErrno: "EACCES" })?.code).toBe("permission_denied");
});
