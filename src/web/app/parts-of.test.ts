import { expect, test } from "bun:test";
import { partsOf } from "./parts-of.ts";

test("an address that is no valid encoding is a page that does not exist, not a failure", () => {
  expect(partsOf("vm/a%20b/files/")).toEqual(["vm", "a b", "files"]);
  expect(partsOf("vm/100%/%E0%A4%A")).toEqual(["vm", "100%", "%E0%A4%A"]);
});
