import { describe, expect, test } from "bun:test";
import { choosePlatform, formatPlatform, hostPlatform, parsePlatform } from "./platform.ts";

test.each([
  ["linux/amd64", "linux/amd64"],
  ["amd64", "linux/amd64"],
  ["x86_64", "linux/amd64"],
  ["aarch64", "linux/arm64"],
  ["linux/arm64/v8", "linux/arm64"],
  ["linux/arm/v7", "linux/arm/v7"],
  ["Linux/AMD64", "linux/amd64"],
  ["linux/amd64/v3", "linux/amd64/v3"],
])("parsePlatform(%j)", (text, formatted) => {
  expect(formatPlatform(parsePlatform(text))).toBe(formatted);
});

test.each(["", "/", "linux/", "linux/amd64/v1/x", "linux amd64", "a\nb"])(
  "parsePlatform(%j) is refused",
  (text) => {
    expect(() => parsePlatform(text)).toThrow("invalid platform");
  },
);

test("hostPlatform() is Linux with a name that registries know", () => {
  expect(formatPlatform(hostPlatform())).toMatch(/^linux\/(amd64|arm64|riscv64|s390x|ppc64)$/);
});

describe("choosePlatform()", () => {
  function choose(wanted: string, offered: string[]): string | undefined {
    const candidates = offered.map((text) => {
      const [os = "", architecture = "", variant] = text.split("/");
      return { platform: { os, architecture, variant } };
    });
    const chosen = choosePlatform(parsePlatform(wanted), candidates);
    return chosen && offered[candidates.indexOf(chosen)];
  }

  test.each([
    ["amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"],
    ["arm64", ["linux/arm64/v8", "linux/amd64"], "linux/arm64/v8"],
    ["linux/arm64/v8", ["linux/arm64"], "linux/arm64"],
    ["arm", ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm/v7"],
    ["linux/arm/v6", ["linux/arm/v7", "linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"],
    ["amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"],
    ["linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"],
    ["amd64", ["linux/amd64", "linux/amd64"], "linux/amd64"],
    ["amd64", ["linux/amd64/v3"], undefined],
    ["amd64", ["windows/amd64", "linux/386"], undefined],
    ["amd64", [], undefined],
  ])("takes for %s of %j", (wanted, offered, expected) => {
    expect(choose(wanted, offered)).toBe(expected);
  });
});
