import { expect, test } from "bun:test";
import type { ExitReason } from "#vmm/driver.ts";
import { type ExitFacts, exitReason, startFailure } from "./exit.ts";

const PANIC = "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\n";
const ENDED =
  "2026-01-01T00:00:09.509075250 [m0:main:INFO] Vmm is stopping.\n" +
  "2026-01-01T00:00:09.597080750 [m0:main:INFO] Firecracker exiting successfully. exit_code=0\n";
const FAILED =
  "2026-01-01T00:00:09.509075250 [m0:main:INFO] Vmm is stopping.\n" +
  "2026-01-01T00:00:09.597080750 [m0:main:ERROR] Firecracker exiting with error. exit_code=1\n";
const facts: ExitFacts = {
  killed: false,
  status: { code: 0, signal: null },
  consoleText: "",
  log: "",
  word: undefined,
  isHeard: true,
};

test.each([
  ["an end by us", { ...facts, killed: true }, { kind: "killed" }],
  ["a shutdown", { ...facts, word: "poweroff" }, { kind: "poweroff" }],
  ["a reboot", { ...facts, word: "reboot" }, { kind: "reboot" }],
  [
    "a reset without a word",
    facts,
    { kind: "crashed", detail: "the guest was reset without shutting down" },
  ],
  ["a reset of which nobody could hear", { ...facts, isHeard: false }, { kind: "unknown" }],
  ["a panic", { ...facts, consoleText: PANIC }, { kind: "panic", detail: PANIC.trim() }],
  [
    "a signal of others",
    { ...facts, status: { code: null, signal: "SIGTERM" } },
    { kind: "killed" },
  ],
  ["an adopted machine", { ...facts, status: undefined }, { kind: "unknown" }],
  [
    "an adopted machine that was reset",
    { ...facts, status: undefined, log: ENDED },
    { kind: "crashed", detail: "the guest was reset without shutting down" },
  ],
  [
    "an adopted machine that was killed as it ended",
    { ...facts, status: undefined, log: ENDED.slice(0, 60) },
    { kind: "unknown" },
  ],
  [
    "an adopted Firecracker that failed",
    { ...facts, status: undefined, log: FAILED },
    { kind: "crashed", detail: `status 1 (internal error): ${FAILED.trim()}` },
  ],
  [
    "an adopted machine's shutdown",
    { ...facts, status: undefined, word: "poweroff" },
    { kind: "poweroff" },
  ],
  [
    "an adopted machine's panic",
    { ...facts, status: undefined, consoleText: PANIC },
    { kind: "panic", detail: PANIC.trim() },
  ],
  [
    "a crash by a signal",
    { ...facts, status: { code: null, signal: "SIGSEGV" }, log: "why" },
    { kind: "crashed", detail: "SIGSEGV: why" },
  ],
  [
    "a forbidden system call",
    { ...facts, status: { code: 148, signal: null } },
    { kind: "crashed", detail: "status 148 (system call blocked by its seccomp filter)" },
  ],
  [
    "a status that means nothing",
    { ...facts, status: { code: 77, signal: null } },
    { kind: "crashed", detail: "status 77" },
  ],
] satisfies [string, ExitFacts, ExitReason][])("exitReason() of %s", (_, given, reason) => {
  expect(exitReason(given)).toEqual(reason);
});

test("startFailure() shows the end of a long log", () => {
  const log = `${"noise\n".repeat(1000)}the reason\n`;
  const { message } = startFailure({ code: 1, signal: null }, log, "PUT /vsock");
  expect(message).toStartWith(
    "Cannot start the machine: Firecracker exited at PUT /vsock: status 1",
  );
  expect(message).toEndWith("the reason");
  expect(message.length).toBeLessThan(1700);
});
