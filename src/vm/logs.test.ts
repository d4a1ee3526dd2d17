import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readLog } from "./logs.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-logs-"));
  path = join(folder, "console.log");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function textOf(log: AsyncIterable<{ text: string }>): Promise<string> {
  let all = "";
  for await (const { text } of log) all += text;
  return all;
}

test("readLog() gives all, or the last lines", async () => {
  writeFileSync(path, "one\ntwo\nthree\n");
  expect(await textOf(readLog(path, {}))).toBe("one\ntwo\nthree\n");
  expect(await textOf(readLog(path, { tail: 2 }))).toBe("two\nthree\n");
  expect(await textOf(readLog(path, { tail: 9 }))).toBe("one\ntwo\nthree\n");
  expect(await textOf(readLog(path, { tail: 0 }))).toBe("");
});

test("readLog() counts a last line that has no newline", async () => {
  writeFileSync(path, "one\ntwo");
  expect(await textOf(readLog(path, { tail: 1 }))).toBe("two");
});

test("readLog() of a machine that never printed is empty", async () => {
  expect(await textOf(readLog(path, { follow: true }))).toBe("");
});

test("readLog() follows until the machine has ended, and misses nothing", async () => {
  writeFileSync(path, "one\n");
  const ended = Promise.withResolvers<void>();
  const reading = textOf(readLog(path, { follow: true, ended: ended.promise }));
  await Bun.sleep(5);
  appendFileSync(path, "two\n");
  appendFileSync(path, "last\n");
  ended.resolve();
  expect(await reading).toBe("one\ntwo\nlast\n");
});

test("readLog() ends when its reader leaves", async () => {
  writeFileSync(path, "one\n");
  const abort = new AbortController();
  const reading = textOf(readLog(path, { follow: true, signal: abort.signal }));
  abort.abort();
  expect(await reading).toBe("one\n");
});
