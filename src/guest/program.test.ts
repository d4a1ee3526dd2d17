/** The agent as a program: its size and its version. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, runOk, which } from "#base/run.ts";
import { KiB } from "#base/size.ts";
import { LIMIT_MS } from "#test/limit.ts";

const GUEST = join(import.meta.dir, "../../guest");
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-program-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.skipIf(!which("musl-gcc"))(
  "is static, small and stamped [needs musl-gcc]",
  async () => {
    const make = ["make", "-s", "-C", GUEST, `OUT=${folder}`, "VERSION=1.2.3"];
    await runOk(make, { timeout_ms: LIMIT_MS });
    const program = join(folder, "banger-vsock-agent");
    expect(statSync(program).size).toBeLessThan(160 * KiB);
    expect(await runOk([program, "--version"])).toBe("1.2.3\n");
    expect((await run([program])).exitCode).toBe(2);
    const headers = await runOk(["readelf", "-l", program]);
    expect(headers).not.toContain("INTERP");
  },
  LIMIT_MS,
);
