import { expect, test } from "bun:test";
import fc from "fast-check";
import { bytesOfText, textOfBytes } from "./raw-text.ts";

test("names of any bytes survive as text and in JSON", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = JSON.parse(JSON.stringify(textOfBytes(bytes)));
      expect(Buffer.from(bytesOfText(text))).toEqual(Buffer.from(bytes));
    }),
  );
});

test("valid text stays as it is", () => {
  expect(textOfBytes(Buffer.from("caf\u00e9 \u{1f600}"))).toBe("caf\u00e9 \u{1f600}");
  expect(textOfBytes(Buffer.from([0x63, 0xe9]))).toBe("c\udce9");
});
