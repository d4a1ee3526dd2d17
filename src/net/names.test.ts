import { expect, test } from "bun:test";
import fc from "fast-check";
import { newId } from "#base/id.ts";
import { checkInterfaceName, macAddress, tableName, tapName } from "./names.ts";

test("tapName() fits into the kernel's 15 characters, for every id", () => {
  for (let count = 0; count < 100; count++) {
    const id = newId();
    expect(tapName(id)).toBe(`bgr-${id.slice(0, 8)}`);
    expect(() => checkInterfaceName(tapName(id))).not.toThrow();
  }
  for (const id of [
    "",
    "short",
    "UPPERCASE0",
    "abc def ghi",
    "../../../x",
    "abcdefgh up",
    `a${"b".repeat(70)}`,
  ]) {
    expect(() => tapName(id)).toThrow("invalid machine ID");
  }
});

test("macAddress() is unicast, locally administered, and the same for the same id", () => {
  fc.assert(
    fc.property(fc.string(), (id) => {
      const mac = macAddress(id);
      expect(mac).toMatch(/^02(:[0-9a-f]{2}){5}$/);
      expect(macAddress(id)).toBe(mac);
    }),
  );
  const macs = new Set(Array.from({ length: 1000 }, (_, index) => macAddress(`machine${index}`)));
  expect(macs.size).toBe(1000);
});

test("checkInterfaceName() refuses what could be read as another command", () => {
  for (const name of [
    "",
    "banger0 up",
    "a\nlink del eth0",
    '"',
    "a/b",
    "-x",
    "bridge-that-is-too-long",
  ]) {
    expect(() => checkInterfaceName(name)).toThrow("invalid interface name");
  }
});

test("tableName() keeps the plain name for the usual bridge", () => {
  expect(tableName("banger0")).toBe("banger");
  expect(tableName("lab-1")).toBe("banger_lab-1");
});
