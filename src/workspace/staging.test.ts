import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isLeftover, isStaging, stagingFolder, stagingName } from "./staging.ts";

let place: string;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-staging-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** As a process had it that has ended. */
function nameOfEnded(kind: string): string {
  return stagingName(kind).replace(/-\d+-([0-9a-f]{8})$/, "-1-$1");
}

test("what ended processes have left is removed, and nothing else", () => {
  const own = stagingName("sync");
  const other = nameOfEnded("sync").replace(/-\d+-(\d+-1-)/, "-1-$1");
  const kept = [own, other, ".banger-sync", "notes.txt"].toSorted();
  for (const name of kept) writeFileSync(join(place, name), "");
  const left = nameOfEnded("apply");
  mkdirSync(join(place, left, "below"), { recursive: true });
  expect([own, other, left].every(isStaging)).toBe(true);
  expect([own, other, left].map(isLeftover)).toEqual([false, false, true]);
  {
    using folder = stagingFolder(place, "apply");
    expect(folder.wasInterrupted).toBe(true);
    expect(readdirSync(place)).toHaveLength(kept.length + 1);
  }
  expect(readdirSync(place).toSorted()).toEqual(kept);
  using again = stagingFolder(place, "apply");
  expect(again.wasInterrupted).toBe(false);
});
