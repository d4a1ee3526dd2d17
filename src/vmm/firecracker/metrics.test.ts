import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closeSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emptyWhenLarge, readMetrics } from "./metrics.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-metrics-"));
  path = join(folder, "metrics");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("the last whole line counts, flat", () => {
  writeFileSync(path, '{"a":{"b":1}}\n{"a":{"b":2,"text":"x"},"n":3}\n{"a":{"b":99');
  expect(readMetrics(path)).toEqual({ "a.b": 2, n: 3 });
});

test("no file, no line, and no JSON are said", () => {
  expect(() => readMetrics(path)).toThrow("none yet");
  writeFileSync(path, "{");
  expect(() => readMetrics(path)).toThrow("none yet");
  writeFileSync(path, "{x}\n");
  expect(() => readMetrics(path)).toThrow("invalid JSON");
});

test("a file is emptied under its writer, who goes on where it was", () => {
  const writer = openSync(path, "w");
  try {
    const line = `{"a":1,"text":"${"x".repeat(1000)}"}\n`;
    for (let count = 0; count < 1200; count++) writeSync(writer, line);
    emptyWhenLarge(path);
    expect(statSync(path).size).toBe(0);
    writeSync(writer, '{"a":2}\n');
    expect(statSync(path).size).toBeGreaterThan(1_000_000);
    expect(readMetrics(path)).toEqual({ a: 2 });
    // Long by its holes only: it is left alone.
    emptyWhenLarge(path);
    expect(readMetrics(path)).toEqual({ a: 2 });
  } finally {
    closeSync(writer);
  }
});
