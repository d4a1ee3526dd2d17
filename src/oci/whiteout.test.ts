import { expect, test } from "bun:test";
import { parseWhiteout } from "./whiteout.ts";

test.each([
  ["a", "none"],
  [".wh", "none"],
  ["a.wh.b", "none"],
  [".wh.a", "remove"],
  [".wh..", "invalid"],
  [".wh...", "invalid"],
  [".wh....", "remove"],
  [".wh.", "invalid"],
  [".wh..hidden", "remove"],
  [".wh..wh..opq", "opaque"],
  [".wh..wh..opqx", "ignore"],
  [".wh..wh.plnk", "ignore"],
  [".wh..wh.", "ignore"],
])("%p is %p", (name, kind) => {
  expect(parseWhiteout(Buffer.from(name)).kind as string).toBe(kind);
});

test("the name that goes is what is behind the mark", () => {
  expect(parseWhiteout(Buffer.from(".wh.a b"))).toEqual({
    kind: "remove",
    name: Buffer.from("a b"),
  });
});
