import { expect, test } from "bun:test";
import { BangerError } from "#base/error.ts";
import { parseChecks } from "./checks.ts";

test("a check is a name and a port", () => {
  expect(parseChecks(["web=8080", " db.main=5432 "])).toEqual([
    { name: "web", port: 8080 },
    { name: "db.main", port: 5432 },
  ]);
});

test("anything else is refused with an example", () => {
  const wrong = ["web", "web=", "web=0", "web=65536", "=80", "web=80/x", "a b=1", "\x1b=1", "-a=1"];
  for (const text of [...wrong, `${"x".repeat(33)}=1`]) {
    expect(() => parseChecks([text])).toThrow(BangerError);
    expect(() => parseChecks([text])).toThrow("web=8080");
  }
});
