import { expect, test } from "bun:test";
import { plain } from "./plain.ts";

test("escape sequences of output are left out: colours, titles, links, the clipboard", () => {
  expect(plain("\x1b[31mred\x1b[0m\r\n\ttab")).toBe("red\n\ttab");
  expect(plain("\x1b]0;title\x07a\x1b]52;c;aGk=\x1b\\b")).toBe("ab");
  expect(plain("\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07")).toBe("link");
});
