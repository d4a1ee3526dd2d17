import { expect, test } from "bun:test";
import fc from "fast-check";
import { safeLine, safeText } from "#base/printable.ts";
import { makeConsoleFilter } from "./console.ts";
import { pairs, table } from "./table.ts";
import { fit } from "./text.ts";

test("table() aligns by what is seen, and shows no control characters", () => {
  expect(
    table(
      ["NAME", "STATE"],
      [
        ["日本", "running"],
        ["a\u001b[31mb\u0007\n", "x\u202ey"],
      ],
    ),
  ).toBe("NAME   STATE\n日本   running\nab     xy");
  expect(table(["NAME"], [])).toBe("NAME");
});

test("pairs() leaves out what there is not", () => {
  expect(
    pairs([
      ["Name", "box"],
      ["Address", undefined],
      ["Id", "1"],
    ]),
  ).toBe("Name:  box\nId:    1");
});

test("safeLine() and safeText() let no control character through", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
      expect(safeLine(text)).not.toMatch(/[\p{Cc}\u061c\u202a-\u202e\u2066-\u2069]/u);
      expect(safeText(text).replace(/[\n\t]/g, "")).not.toMatch(/\p{Cc}/u);
    }),
  );
  expect(safeText("a\r\nb\tc\u001b]0;title\u0007d")).toBe("a\nb\tcd");
});

test("fit() cuts at the width that is seen", () => {
  expect(fit("hello", 5)).toBe("hello");
  expect(fit("hello!", 5)).toBe("hell…");
  expect(fit("日本語", 4)).toBe("日…");
  expect(fit("x", 0)).toBe("");
});

const hostile =
  "\u001b[32mok\u001b[0m \u001b]0;title\u0007a\u001b]52;c;aGk=\u001b\\b\u001b[2Jc\u001b[1;1Hd\u009b31me\u001bcf\r\n\u0007";

test("makeConsoleFilter() lets colours through and nothing else", () => {
  const colored = makeConsoleFilter({ color: true });
  expect(colored.push(hostile) + colored.end()).toBe("\u001b[32mok\u001b[0m abcd31mef\n");
  const plain = makeConsoleFilter({ color: false });
  expect(plain.push(hostile) + plain.end()).toBe("ok abcd31mef\n");
});

test("makeConsoleFilter() gives the same whatever the chunks", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: hostile.length }), { maxLength: 8 }), (cuts) => {
      const edges = [0, ...cuts.sort((a, b) => a - b), hostile.length];
      const filter = makeConsoleFilter({ color: true });
      const parts = edges.slice(1).map((end, at) => filter.push(hostile.slice(edges[at], end)));
      expect(parts.join("") + filter.end()).toBe("\u001b[32mok\u001b[0m abcd31mef\n");
    }),
  );
});

test("makeConsoleFilter() never gives an escape but a colour's, and holds back little", () => {
  const piece = fc.constantFrom("\u001b", "[", "]", "m", "3", ";", "x", "\u0007", "\\", "P", "\n");
  fc.assert(
    fc.property(fc.array(fc.array(piece, { maxLength: 12 }), { maxLength: 12 }), (chunks) => {
      const filter = makeConsoleFilter({ color: true });
      const text = chunks.map((chunk) => filter.push(chunk.join(""))).join("") + filter.end();
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are looked for
      expect(text.replace(/\u001b\[[0-9;:]*m/g, "")).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);
    }),
  );
});
