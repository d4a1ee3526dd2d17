import { expect, test } from "bun:test";
import { z } from "zod";
import { jsonColumn, readRow, readRows, stored } from "./row.ts";

const row = z.object({
  id: z.string(),
  name: z.string(),
  spec: jsonColumn(stored({ cpus: z.int(), env: z.record(z.string(), z.string()).optional() })),
});
const one = { id: "1", name: "one", spec: '{"cpus":2}' };

test("a row that does not fit is named with its problem, and the others are read", () => {
  const rows = [
    one,
    { ...one, id: "2", name: "two", spec: '{"cpus":"2"}' },
    { ...one, id: "3", name: "three", spec: '{"cpus":' },
  ];
  const { readable, unreadable } = readRows(rows, "machine", row);
  expect(readable).toEqual([{ id: "1", name: "one", spec: { cpus: 2 } }]);
  expect(unreadable).toEqual([
    {
      noun: "machine",
      id: "2",
      name: "two",
      problem: "spec.cpus: expected number, received string",
    },
    { noun: "machine", id: "3", name: "three", problem: "spec: not valid JSON" },
  ]);
});

test("the error about a row has the command that removes it", () => {
  for (const [noun, hint] of [
    ["machine", "Remove it with: banger vm rm --force two"],
    ["image", "Remove it with: banger image rm two"],
  ] as const) {
    try {
      readRow({ ...one, name: "two", spec: "[]" }, noun, row);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "integrity", hint });
    }
  }
});

test("keys that only a newer banger knows are kept", () => {
  const { spec } = readRow({ ...one, spec: '{"cpus":2,"later":[1]}' }, "machine", row);
  expect(JSON.stringify(spec)).toBe('{"cpus":2,"later":[1]}');
});

test("what is read twice is parsed once, and cannot be changed by one reader for the other", () => {
  const text = '{"cpus":2,"env":{"A":"b"}}';
  const first = readRow({ ...one, spec: text }, "machine", row);
  const second = readRow({ ...one, spec: text }, "machine", row);
  expect(first.spec).toBe(second.spec);
  const { env = {} } = first.spec;
  expect(() => Object.assign(env, { A: "c" })).toThrow(TypeError);
});
