import { expect, test } from "bun:test";
import { assertServed, policyFor } from "./network.ts";

const ALL = "0.0.0.0/0";

test("policyFor() allows everything unless something is denied", () => {
  expect(policyFor({}, undefined)).toBeUndefined();
  expect(policyFor({}, true)).toBeUndefined();
  expect(policyFor({ allowOut: ["example.com"] }, undefined)).toBeUndefined();
  expect(policyFor({ allowOut: [ALL] }, false)).toBeUndefined();
});

test("policyFor() allows only what is listed where everything else is denied", () => {
  expect(policyFor({}, false)).toEqual({ allow: [] });
  expect(policyFor({ allowOut: ["example.com"] }, false)).toEqual({ allow: ["example.com"] });
  expect(policyFor({ allowOut: ["192.0.2.0/24"], denyOut: [ALL] }, undefined)).toEqual({
    allow: ["192.0.2.0/24"],
  });
});

test("what a policy cannot say is not served", () => {
  expect(() => policyFor({ denyOut: ["192.0.2.1"] }, undefined)).toThrow(
    "denyOut without 0.0.0.0/0",
  );
  expect(() => assertServed({ egressProxy: { address: "x" } })).toThrow("not supported by banger");
  expect(() => assertServed({ rules: { "a.com": [{}] } })).toThrow("not supported by banger");
  expect(() => assertServed({ httpsPorts: [443] })).toThrow("not supported by banger");
  assertServed({ allowPublicTraffic: false, rules: {} });
});
