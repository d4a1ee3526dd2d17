import { expect, test } from "bun:test";
import { accessToken, isSame, signature } from "./tokens.ts";

test("signature() is what E2B's clients compute", () => {
  const file = { path: "/tmp/a", operation: "read", user: "", expiration: null } as const;
  expect(signature("token", file)).toBe("v1_mSS6bXPNIU4XmU2wrcUHhtDtoUHUFTk5Z0btnKa3s8o");
  const limited = { ...file, operation: "write", user: "bob", expiration: "1796000000" } as const;
  expect(signature("token", limited)).not.toBe(signature("token", file));
});

test("accessToken() differs by key, sandbox and owner", () => {
  const key = new Uint8Array(32);
  const tokens = [
    accessToken(key, { id: "a" }),
    accessToken(key, { id: "b" }),
    accessToken(key, { id: "a", owner: "t" }),
    accessToken(new Uint8Array(32).fill(1), { id: "a" }),
  ];
  expect(new Set(tokens).size).toBe(tokens.length);
  expect(isSame(accessToken(key, { id: "a" }), tokens[0] ?? "")).toBe(true);
  expect(isSame("a", "b")).toBe(false);
});
