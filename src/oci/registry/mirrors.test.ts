import { expect, test } from "bun:test";
import { parseMirrors } from "./mirrors.ts";

test("parseMirrors() takes mirrors of docker.io and of other registries in their order", () => {
  expect(parseMirrors([])).toEqual({});
  expect(
    parseMirrors(["one:5000", "GHCR.io=https://two/prefix", " three ", "ghcr.io=four"]),
  ).toEqual({ "docker.io": ["one:5000", "three"], "ghcr.io": ["https://two/prefix", "four"] });
});

test.each(["", "=x", "ghcr.io=", "a b=c", "https://user:secret@x", "x?y", "http://x=y"])(
  "parseMirrors() refuses %p",
  (entry) => {
    expect(() => parseMirrors([entry])).toThrow("invalid mirror");
  },
);
