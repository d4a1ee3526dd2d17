import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdtempSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { boundLog, LOG_MAX_BYTES, lastLines, readTail } from "./console.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-console-"));
  path = join(folder, "console");
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("gives the last lines, without colours and control characters", () => {
  const text = "one\r\ntwo\n\n\u001b[31mth\u0007ree\u001b[0m\rfour\u009b1m\tx\n";
  expect(lastLines(text, 2)).toEqual(["three", "four\tx"]);
  expect(lastLines(text, 100)).toHaveLength(4);
  expect(lastLines("", 5)).toEqual([]);
});

test("after a panic, ends with the panic's line", () => {
  const trace = Array.from({ length: 50 }, (_, index) => `[ 1.${index}]  some_function+0x${index}`);
  const text = ["a", "b", "[ 1.0] Kernel panic - not syncing: gone", ...trace].join("\n");
  expect(lastLines(text, 2)).toEqual(["b", "[ 1.0] Kernel panic - not syncing: gone"]);
});

test("leaves out what was there before the start, unless the log was cut since", () => {
  writeFileSync(path, "old\n");
  const start = statSync(path).size;
  appendFileSync(path, "new\n");
  expect(readTail(path, start)).toBe("new\n");
  truncateSync(path, 0);
  appendFileSync(path, "x\n");
  expect(readTail(path, start)).toBe("x\n");
  expect(readTail(join(folder, "none"))).toBe("");
});

test("whatever a guest prints, lines are short and hold nothing that a terminal obeys", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4000 }), fc.nat(10), (bytes, lines) => {
      const tail = lastLines(Buffer.from(bytes).toString(), lines + 1);
      expect(tail.length).toBeLessThanOrEqual(lines + 1);
      for (const line of tail) {
        expect(line.length).toBeLessThanOrEqual(1000);
        expect(line).toMatch(/^[^\p{Cc}]*(\t[^\p{Cc}]*)*$/u);
      }
    }),
  );
});

test("reads no more than the end of a huge log, and cuts it", () => {
  writeFileSync(path, "");
  truncateSync(path, LOG_MAX_BYTES);
  boundLog(path);
  expect(statSync(path).size).toBe(LOG_MAX_BYTES);
  appendFileSync(path, "the end\n");
  expect(readTail(path).length).toBe(64 * 1024);
  boundLog(path);
  expect(statSync(path).size).toBe(1024 * 1024);
  expect(lastLines(readTail(path), 1)).toEqual(["the end"]);
  boundLog(join(folder, "none"));
});
