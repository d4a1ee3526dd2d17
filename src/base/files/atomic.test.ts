import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFolderAtomic, writeFileAtomic } from "./atomic.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-atomic-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("writeFileAtomic() replaces a file whole, with its mode, and leaves nothing beside it", () => {
  const path = join(folder, "sub", "file");
  writeFileAtomic(path, "one");
  writeFileAtomic(path, "two", { mode: 0o640 });
  expect(readFileSync(path, "utf8")).toBe("two");
  expect(statSync(path).mode & 0o777).toBe(0o640);
  expect(readdirSync(join(folder, "sub"))).toEqual(["file"]);
});

test("makeFolderAtomic() leaves nothing when filling fails", async () => {
  const path = join(folder, "bundle");
  const failing = makeFolderAtomic(path, async (staging) => {
    writeFileSync(join(staging, "half"), "x");
    throw new Error("no more");
  });
  await expect(failing).rejects.toThrow("no more");
  expect(readdirSync(folder)).toEqual([]);
  await makeFolderAtomic(path, async (staging) => writeFileSync(join(staging, "whole"), "x"));
  expect(readdirSync(path)).toEqual(["whole"]);
});
