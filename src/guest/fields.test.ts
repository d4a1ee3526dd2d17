import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { Fields, FieldWriter } from "./fields.ts";

const field = fc.record({
  tag: fc.integer({ min: 1, max: 0xffff }),
  value: fc.uint8Array({ maxLength: 200 }),
});

test("what was written is read, repeated tags in order", () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 30 }), (list) => {
      const writer = new FieldWriter();
      for (const { tag, value } of list) writer.bytes(tag, value);
      const fields = Fields.parse(writer.finish());
      for (const { tag } of list) {
        const same = list.filter((other) => other.tag === tag).map(({ value }) => value);
        expect(fields.list(tag)).toEqual(same);
        expect(fields.bytes(tag)).toEqual(same.at(-1));
      }
    }),
  );
});

test("any bytes are a list or a guest error, never another one", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        Fields.parse(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(BangerError);
      }
    }),
  );
});

test("a list that is cut, ends in the middle, or has tag 0 is malformed", () => {
  const bytes = new FieldWriter().text(5, "hello").finish();
  for (const wrong of [bytes.subarray(0, -1), bytes.subarray(0, 3), new Uint8Array(6)]) {
    expect(() => Fields.parse(wrong)).toThrow("malformed");
  }
});

test("more fields than allowed are refused", () => {
  const writer = new FieldWriter();
  for (let count = 0; count < 5000; count++) writer.text(1, "");
  expect(() => Fields.parse(writer.finish())).toThrow("malformed");
});

test("numbers have 1 to 8 bytes, and those that JavaScript cannot hold are no numbers", () => {
  const fields = Fields.parse(
    new FieldWriter()
      .bytes(1, Uint8Array.from([5]))
      .bytes(2, Uint8Array.from([1, 2]))
      .number(3, 2n ** 64n - 1n)
      .bytes(4, new Uint8Array(9))
      .finish(),
  );
  expect([fields.number(1), fields.number(2), fields.number(99)]).toEqual([5, 513, undefined]);
  expect(fields.big(3)).toBe(2n ** 64n - 1n);
  expect(() => fields.number(3)).toThrow("malformed");
  expect(() => fields.number(4)).toThrow("malformed");
});

test("texts are cut, and cannot steer a terminal", () => {
  const evil = "\u001b[2Jgone\u0000\u009b31m\u202e\ttab\nline";
  const fields = Fields.parse(new FieldWriter().text(1, evil).text(2, "x".repeat(50)).finish());
  expect(fields.text(1)).toBe("�[2Jgone��31m�\ttab\nline");
  expect(fields.text(2, 10)).toBe("xxxxxxxxxx");
});
