import { expect, test } from "bun:test";
import { redact } from "./debug.ts";

test("redact() removes what looks like a secret, and keeps the rest", () => {
  const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----";
  expect(redact(`a ${key} b`)).toBe("a [removed] b");
  expect(redact("https://user:pass@host/x")).toBe("https://[removed]@host/x");
  expect(redact("Authorization: Bearer abcdefgh.ijk")).toBe("Authorization: Bearer [removed]");
  expect(redact('{"token":"abc","name":"box"}')).toBe('{"token":"[removed]","name":"box"}');
  expect(redact("PASSWORD=hunter2 x")).toBe("PASSWORD=[removed] x");
  expect(redact("a line without any")).toBe("a line without any");
});

test("redact() removes a key whose end was cut off", () => {
  expect(redact("-----BEGIN RSA PRIVATE KEY-----\nabc")).toBe("[removed]");
});
