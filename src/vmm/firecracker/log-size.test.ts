import { expect, test } from "bun:test";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emptyWhenLarge } from "./log-size.ts";

test("a file is emptied under its writer, who goes on where it was", () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-log-size-"));
  const path = join(folder, "log");
  const writer = openSync(path, "w");
  try {
    for (let count = 0; count < 1200; count++) writeSync(writer, `${"x".repeat(1000)}\n`);
    emptyWhenLarge(path);
    expect(statSync(path).size).toBe(0);
    writeSync(writer, "end\n");
    expect(statSync(path).size).toBeGreaterThan(1_000_000);
    // Long by its holes only: it is left alone.
    emptyWhenLarge(path);
    expect(readFileSync(path, "latin1")).toEndWith("\0end\n");
  } finally {
    closeSync(writer);
    rmSync(folder, { recursive: true, force: true });
  }
});
