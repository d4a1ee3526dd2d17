import { expect, test } from "bun:test";
import { OutputTail } from "./output-tail.ts";

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

test("lines are given once, whole, and without what moves the cursor", () => {
  const output = new OutputTail();
  expect(output.add(bytes("one\ntw"))).toEqual(["one"]);
  expect(output.add(bytes("o\r\n\n\x1b[31mred\x1b[0m 10%\r 50%\r100%\nopen"))).toEqual([
    "two",
    "100%",
  ]);
  expect(output.lastLine()).toBe("open");
  expect(output.end()).toBe("  one\n  two\n  100%\n  open");
});

test("a character that is cut in two is put together, and only the end is kept", () => {
  const output = new OutputTail();
  const euro = bytes("€\n");
  expect(output.add(euro.subarray(0, 2))).toEqual([]);
  expect(output.add(euro.subarray(2))).toEqual(["€"]);
  for (let index = 0; index < 5000; index++) output.add(bytes(`line ${index}\n`));
  expect(output.end().split("\n")).toHaveLength(60);
  expect(output.end()).toEndWith("line 4999");
});
