import { expect, test } from "bun:test";
import { imageBootstrap } from "./image.ts";

test("an invalid Debian release or package is described in words, not as a pattern", () => {
  const messageOf = (input: object): string | undefined =>
    imageBootstrap.safeParse(input).error?.issues[0]?.message;
  expect(messageOf({ suite: "a:b" })).toBe(
    "Debian release names can contain lower-case letters and dashes",
  );
  expect(messageOf({ suite: "bookworm", packages: ["curl", "a b"] })).toBe(
    "Debian package names can contain lower-case letters, digits, dots, dashes and plus signs",
  );
  expect(messageOf({ suite: "bookworm", packages: ["curl", "libstdc++6"] })).toBeUndefined();
});
