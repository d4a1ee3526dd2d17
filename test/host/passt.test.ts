/** The user-mode network in a process of its own: it starts here, and ends with the machine's end of the cable. */
import { expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argumentsOf } from "#base/process-identity.ts";
import { testNeeding } from "#test/needs.ts";
import { findProcesses } from "#vmm/process.ts";
import { findPasst, startPasst } from "#vmm/qemu/passt.ts";
import { findQemu } from "#vmm/qemu/program.ts";

const hostTest = testNeeding("passt", "qemu-system-x86_64");

/** Those that this process has started; one that becomes another program has no arguments for a moment. */
function ours(): { pid: number; argv: string[] }[] {
  return findProcesses((argv) => argv.includes("--no-map-gw"))
    .map(({ pid }) => ({ pid, argv: argumentsOf(pid) }))
    .filter(({ pid, argv }) => argv.length > 0 && parentOf(pid) === process.pid);
}

/** The fourth field of proc_pid_stat(5), after a name in parentheses; undefined once it has ended. */
function parentOf(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ")[1]);
  } catch {
    return undefined;
  }
}

hostTest("passt is found, and lives as long as somebody holds the cable", async () => {
  const path = await findPasst(await findQemu());
  expect(path).toEndWith("/passt");
  const folder = mkdtempSync(join(tmpdir(), "banger-passt-"));
  const log = join(folder, "log");
  try {
    const cable = startPasst(path ?? "", { stdout: log, stderr: log });
    // The test's own time limit ends both waits.
    let found = ours();
    for (; found.length === 0; found = ours()) await Bun.sleep(5);
    const [{ pid, argv } = { pid: 0, argv: [] }] = found;
    expect(argv[argv.indexOf("--dns-forward") + 1]).toBe("10.0.2.3");
    cable[Symbol.dispose]();
    while (ours().some((each) => each.pid === pid)) await Bun.sleep(10);
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
