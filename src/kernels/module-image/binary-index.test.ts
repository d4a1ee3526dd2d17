import { expect, test } from "bun:test";
import fc from "fast-check";
import { binaryIndex, type IndexEntry } from "./binary-index.ts";

/** Values by keys, read as kmod does. */
function read(bytes: Uint8Array): Record<string, string[]> {
  const buffer = Buffer.from(bytes);
  expect([buffer.readUInt32BE(0), buffer.readUInt32BE(4)]).toEqual([0xb007f457, 0x00020001]);
  const found: Record<string, string[]> = Object.create(null);
  const text = (at: number): string => buffer.toString("utf8", at, buffer.indexOf(0, at));
  const visit = (offset: number, above: string): void => {
    let key = above;
    let at = offset & 0x0fffffff;
    const flags = Math.floor(offset / 0x10000000);
    if (at === 0) return;
    if (flags & 8) {
      key += text(at);
      at = buffer.indexOf(0, at) + 1;
    }
    if (flags & 2) {
      const [first = 0, last = 0] = buffer.subarray(at, at + 2);
      at += 2;
      for (let code = first; code <= last; code++, at += 4) {
        visit(buffer.readUInt32BE(at), key + String.fromCharCode(code));
      }
    }
    if (!(flags & 4)) return;
    const values: string[] = [];
    for (let left = buffer.readUInt32BE(at), next = at + 8; left > 0; left--) {
      values.push(text(next));
      next = buffer.indexOf(0, next) + 5;
    }
    found[key] = values;
  };
  visit(buffer.readUInt32BE(8), "");
  return found;
}

test("an index has the values of every key in order", () => {
  const key = fc.stringMatching(/^[a-c*_:]{1,5}$/);
  const value = fc.stringMatching(/^[a-z]{0,4}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value)), (pairs) => {
      const entries = pairs.map(([own, text], priority): IndexEntry => {
        return { key: own, value: text, priority };
      });
      const wanted = Map.groupBy(pairs, ([own]) => own);
      const found = read(binaryIndex(entries.toReversed()));
      expect(Object.keys(found).sort()).toEqual([...wanted.keys()].sort());
      for (const [own, values] of wanted) {
        expect(found[own]).toEqual(values.map(([, text]) => text));
      }
    }),
  );
});

test("no entries are an index without a root, as depmod writes it", () => {
  const bytes = Buffer.from(binaryIndex([]));
  expect(bytes.toString("hex")).toBe("b007f457000200010000000c");
  expect(binaryIndex([{ key: "ä", value: "x", priority: 0 }])).toEqual(bytes);
});
