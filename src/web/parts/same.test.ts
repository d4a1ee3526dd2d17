import { expect, test } from "bun:test";
import { isSame } from "./same.ts";

test("what was loaded of one directory is not taken for another's", () => {
  expect(isSame(["id", "/a"], ["id", "/a"])).toBe(true);
  expect(isSame(["id", "/a"], ["id", "/b"])).toBe(false);
  expect(isSame(["id"], ["id", undefined])).toBe(false);
  expect(isSame([Number.NaN], [Number.NaN])).toBe(true);
});
