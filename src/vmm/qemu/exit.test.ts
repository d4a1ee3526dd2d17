import { expect, test } from "bun:test";
import { BangerError } from "#base/error.ts";
import { type ExitFacts, exitReason } from "./exit.ts";
import { restoreFailure, startFailure } from "./failure.ts";

const clean: ExitFacts = {
  word: undefined,
  isHeard: true,
  shutdown: undefined,
  killed: false,
  status: { code: 0, signal: null },
  consoleText: "",
  stderr: "",
};
const panicText = "x\n[    1.9] Kernel panic - not syncing: Attempted to kill init!\n";

test("the event tells a shutdown, the guest's last word a reboot, and the console a panic", () => {
  expect(exitReason({ ...clean, shutdown: "guest-shutdown" })).toEqual({ kind: "poweroff" });
  const rebooted: ExitFacts = { ...clean, shutdown: "guest-reset", word: "reboot" };
  expect(exitReason(rebooted)).toEqual({ kind: "reboot" });
  expect(exitReason({ ...clean, shutdown: "guest-reset" }).kind).toBe("crashed");
  const reset = { ...clean, shutdown: "guest-reset", consoleText: panicText };
  expect(exitReason(reset)).toEqual({ kind: "panic", detail: panicText.trim() });
  expect(exitReason({ ...clean, shutdown: "guest-panic" })).toEqual({ kind: "panic", detail: "" });
  expect(exitReason({ ...clean, shutdown: "host-signal" })).toEqual({ kind: "killed" });
});

test("our own kill is a kill, whatever else is known", () => {
  const facts = { ...clean, killed: true, shutdown: "guest-reset", consoleText: panicText };
  expect(exitReason(facts)).toEqual({ kind: "killed" });
});

test("without an event, the process's status tells", () => {
  expect(exitReason({ ...clean, status: { code: null, signal: "SIGKILL" } }).kind).toBe("killed");
  const failed = { ...clean, status: { code: 1, signal: null }, stderr: "qemu: it broke\n" };
  expect(exitReason(failed)).toEqual({ kind: "crashed", detail: "qemu: it broke" });
  const fault = { ...clean, status: { code: null, signal: "SIGSEGV" } };
  expect(exitReason(fault)).toEqual({ kind: "crashed", detail: "QEMU exited with SIGSEGV" });
  expect(exitReason({ ...clean, status: undefined })).toEqual({ kind: "unknown" });
  expect(exitReason({ ...clean, status: undefined, consoleText: panicText }).kind).toBe("panic");
});

test("what QEMU prints when it does not start becomes a code and a hint", () => {
  const lock = startFailure(
    'qemu-system-x86_64: -blockdev driver=raw: Failed to get "write" lock\nIs another process using the image [a.img]?\n',
    "status 1",
  );
  expect([lock.code, lock.hint]).toEqual(["conflict", expect.stringContaining("disk is in use")]);
  expect(lock.message).not.toContain("qemu-system");
  const tun = startFailure(
    "qemu-system-x86_64: -netdev tap: could not configure /dev/net/tun (bgr0): Operation not permitted",
    "status 1",
  );
  expect([tun.code, tun.hint]).toEqual([
    "permission_denied",
    "Run sudo banger setup, or use --net user",
  ]);
  expect(startFailure("", "SIGILL").message).toContain("QEMU exited with SIGILL");
  expect(startFailure("x".repeat(9000), "status 1").message.length).toBeLessThan(2000);
});

test("a state that QEMU refuses is told from a QEMU that was ended while it loaded", () => {
  const gone = new BangerError("unavailable", 'Cannot run "query-migrate" in QEMU: it has exited');
  const refused = restoreFailure("qemu-system-x86_64: load of migration failed: Invalid\n", gone);
  expect([refused.code, refused.message]).toEqual([
    "integrity",
    "Cannot restore the machine: load of migration failed: Invalid",
  ]);
  expect(restoreFailure("", gone).code).toBe("unavailable");
});
