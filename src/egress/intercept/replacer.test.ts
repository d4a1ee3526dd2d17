import { expect, test } from "bun:test";
import fc from "fast-check";
import { formsOf } from "./forms.ts";
import { Replacer, replaceAll } from "./replacer.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");
const rule = (find: string, put: string) => ({ find: bytes(find), replace: () => bytes(put) });

test("finds what lies across chunks, and the longer of two", () => {
  const whole = replaceAll(
    [rule("abc", "1"), rule("abcd", "2"), rule("cab", "3")],
    bytes("xabcabcdcab"),
  );
  expect(whole.toString()).toBe("x1" + "2" + "3");
  const texts = fc.array(fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 6 }), {
    maxLength: 8,
  });
  const needles = fc.uniqueArray(
    fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }),
    {
      minLength: 1,
      maxLength: 3,
    },
  );
  fc.assert(
    fc.property(texts, needles, (chunks, finds) => {
      const rules = finds.map((find) => rule(find, `<${find}>`));
      // Where one needle lies in another, the border of a chunk decides which is found; neither is ever left.
      const replacer = new Replacer(rules);
      const parts = [...chunks.map((chunk) => replacer.push(bytes(chunk))), replacer.end()];
      const out = Buffer.concat(parts).toString();
      expect(out.replaceAll(/[<>]/g, "")).toBe(chunks.join(""));
      for (const rest of out.split(/<[ab]+>/))
        for (const find of finds) expect(rest).not.toContain(find);
    }),
  );
});

test("passes on at once what no rule can go on from", () => {
  const replacer = new Replacer([rule("secret", "")]);
  expect(replacer.push(bytes("data: 1\n\n")).toString()).toBe("data: 1\n\n");
  expect(replacer.push(bytes("data: se")).toString()).toBe("data: ");
  expect(replacer.push(bytes("ven")).toString()).toBe("seven");
});

test("base64 of anything with the value in it has one of its forms in it", () => {
  fc.assert(
    fc.property(fc.string(), fc.string({ minLength: 8 }), fc.string(), (before, value, after) => {
      const forms = formsOf(value).map((form) => form.toString());
      const text = Buffer.from(before + value + after);
      for (const form of ["base64", "base64url", "hex"] as const) {
        expect(forms.some((each) => text.toString(form).includes(each))).toBe(true);
      }
    }),
  );
});
