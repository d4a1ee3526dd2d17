/** The agent as a program: its own tests in C, its size, its version. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, runOk, which } from "#base/run.ts";
import { KiB } from "#base/size.ts";

const GUEST = join(import.meta.dir, "../../guest");
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-program-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("its own tests pass under the sanitizers", async () => {
  const output = await runOk(["make", "-s", "-C", GUEST, "test"], { timeout_ms: 280_000 });
  expect(output).toContain("guest: ok");
}, 300_000);

test.skipIf(!which("musl-gcc"))(
  "is static, small and stamped [needs musl-gcc]",
  async () => {
    await runOk(["make", "-s", "-C", GUEST, `OUT=${folder}`, "VERSION=1.2.3"]);
    const program = join(folder, "banger-vsock-agent");
    expect(statSync(program).size).toBeLessThan(150 * KiB);
    expect(await runOk([program, "--version"])).toBe("1.2.3\n");
    expect((await run([program])).exitCode).toBe(2);
    const headers = await runOk(["readelf", "-l", program]);
    expect(headers).not.toContain("INTERP");
  },
  120_000,
);
