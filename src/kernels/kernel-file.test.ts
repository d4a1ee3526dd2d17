import { expect, test } from "bun:test";
import fc from "fast-check";
import { sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { kernelBytes } from "#test/kernel-fixture.ts";
import { ElfInspector } from "./kernel-file.ts";

/** What an inspector makes of `bytes` that come in pieces, cut at these places. */
function inspect(bytes: Uint8Array, cuts: readonly number[]) {
  const inspector = new ElfInspector();
  const places = [...cuts.map((cut) => cut % bytes.length), bytes.length].sort((a, b) => a - b);
  let from = 0;
  for (const to of places) {
    inspector.take(bytes.subarray(from, to));
    from = to;
  }
  return inspector.result("x");
}

test("a kernel is the same in pieces of any size", () => {
  const bytes = kernelBytes({ ballast_bytes: 3000 });
  const whole = { arch: "amd64" as const, version: "6.12.1-fixture", sha256: sha256(bytes) };
  const banner = bytes.indexOf("Linux version");
  for (let cut = banner; cut < banner + 60; cut++) expect(inspect(bytes, [cut])).toEqual(whole);
  const cuts = fc.array(fc.nat(bytes.length - 1), { maxLength: 50 });
  fc.assert(fc.property(cuts, (places) => expect(inspect(bytes, places)).toEqual(whole)));
  const each = Array.from(bytes, (_, index) => index);
  expect(inspect(bytes, each)).toEqual(whole);
});

test("what is no kernel is none, and another machine's is refused", () => {
  expect(inspect(Buffer.from("#!/bin/sh\n"), [3])).toBeUndefined();
  for (const bytes of [kernelBytes({ machine: 8 }), kernelBytes({ version: "none" })]) {
    expect(() => inspect(bytes, [10])).toThrow(BangerError);
  }
});
