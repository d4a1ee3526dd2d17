import { expect, test } from "bun:test";
import { makeVm } from "#test/local-daemon.ts";
import { matches } from "./matches.ts";

const vm = { ...makeVm("web-1", "suspended"), labels: { team: "data" } };

test("each word of a filter must be in the machine", () => {
  expect(matches(vm, [])).toBe(true);
  expect(matches(vm, ["web", "debian"])).toBe(true);
  expect(matches(vm, ["web", "alpine"])).toBe(false);
  expect(matches(vm, ["team=data"])).toBe(true);
});

test("state: and label: look there only", () => {
  expect(matches(vm, ["state:susp"])).toBe(true);
  expect(matches(vm, ["state:running"])).toBe(false);
  expect(matches(vm, ["label:team=data"])).toBe(true);
  expect(matches(vm, ["label:web"])).toBe(false);
});
