import { expect, test } from "bun:test";
import { accessToken, callerOfToken, isSame, signature } from "./tokens.ts";

test("signature() is what E2B's clients compute", () => {
  const file = { path: "/tmp/a", operation: "read", user: "", expiration: null } as const;
  expect(signature("token", file)).toBe("v1_mSS6bXPNIU4XmU2wrcUHhtDtoUHUFTk5Z0btnKa3s8o");
  const limited = { ...file, operation: "write", user: "bob", expiration: "1796000000" } as const;
  expect(signature("token", limited)).not.toBe(signature("token", file));
});

test("accessToken() differs by key, sandbox and API token", () => {
  const key = new Uint8Array(32);
  const tokens = [
    accessToken(key, { id: "a", caller: "t" }),
    accessToken(key, { id: "b", caller: "t" }),
    accessToken(key, { id: "a", caller: "u" }),
    accessToken(new Uint8Array(32).fill(1), { id: "a", caller: "t" }),
  ];
  expect(new Set(tokens).size).toBe(tokens.length);
  expect(isSame(accessToken(key, { id: "a", caller: "t" }), tokens[0] ?? "")).toBe(true);
  expect(isSame("a", "b")).toBe(false);
  expect(callerOfToken(tokens[2] ?? "")).toBe("u");
  expect(callerOfToken("none")).toBe("");
});
