/** The user-mode network in a process of its own: it starts here, and ends with the machine's end of the cable. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testNeeding } from "#test/needs.ts";
import { argumentsOf } from "#vmm/identity.ts";
import { findProcesses } from "#vmm/process.ts";
import { findPasst, startPasst } from "#vmm/qemu/passt.ts";
import { findQemu } from "#vmm/qemu/program.ts";

const hostTest = testNeeding("passt", "qemu-system-x86_64");

/** Those that this process has started. */
function ours(): number[] {
  const isPasst = (argv: string[]): boolean =>
    (argv[0] ?? "").endsWith("/passt") && argv.includes("--no-map-gw");
  return findProcesses(isPasst).map(({ pid }) => pid);
}

hostTest("passt is found, and lives as long as somebody holds the cable", async () => {
  const path = await findPasst(await findQemu());
  expect(path).toEndWith("/passt");
  const folder = mkdtempSync(join(tmpdir(), "banger-passt-"));
  const log = join(folder, "log");
  try {
    const before = ours();
    const cable = startPasst(path ?? "", { stdout: log, stderr: log });
    const [pid = 0] = ours().filter((each) => !before.includes(each));
    const argv = argumentsOf(pid);
    expect(argv[argv.indexOf("--dns-forward") + 1]).toBe("10.0.2.3");
    cable[Symbol.dispose]();
    // The test's own time limit ends the wait.
    while (ours().includes(pid)) await Bun.sleep(10);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

hostTest("a QEMU that cannot speak to it keeps its own stack", async () => {
  const qemu = await findQemu();
  expect(await findPasst({ ...qemu, version: "7.1.0" })).toBeUndefined();
  expect(await findPasst({ ...qemu, version: "6.2.0" })).toBeUndefined();
  expect(await findPasst({ ...qemu, version: "8.0.0" })).toBeDefined();
});
