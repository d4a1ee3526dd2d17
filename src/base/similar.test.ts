import { expect, test } from "bun:test";
import { didYouMean, similarNames } from "./similar.ts";

const known = ["debian-bookworm", "debian-trixie", "alpine", "testbox"];

test("similarNames() finds a slip, a swap and a beginning", () => {
  expect(similarNames("debian-bookwrom", known)[0]).toBe("debian-bookworm");
  expect(similarNames("tesbtox", known)).toEqual(["testbox"]);
  expect(similarNames("alp", known)).toEqual(["alpine"]);
});

test("similarNames() finds nothing where nothing is near", () => {
  expect(similarNames("postgres", known)).toEqual([]);
});

test("didYouMean() falls back to the other sentence", () => {
  expect(didYouMean("alpin", known)).toBe('Did you mean "alpine"?');
  expect(didYouMean("zzz", known, "See the list")).toBe("See the list");
});
