import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "#test/until.ts";
import { findProcesses, killWithDescendants, startDetached } from "./process.ts";

test("a child is killed with what it has started", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-process-"));
  try {
    const log = join(folder, "log");
    const script = "sleep 86399 & echo started; wait";
    const child = startDetached(["sh", "-c", script], { stdout: log, stderr: log });
    await until(() => readFileSync(log, "utf8").includes("started"));
    await killWithDescendants(child);
    expect(() => process.kill(-child.pid, 0)).toThrow("ESRCH");
    expect(findProcesses((argv) => argv.includes(script))).toEqual([]);
    await killWithDescendants(child);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
