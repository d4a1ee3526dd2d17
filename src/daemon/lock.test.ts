import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { holdWork, takeDaemonLock, tryStopWork } from "./lock.ts";

test("several may work, nobody sweeps meanwhile, and nobody begins while one sweeps", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-lock-"));
  const path = join(folder, "work.lock");
  try {
    const first = await holdWork(path);
    const second = await holdWork(path);
    first[Symbol.dispose]();
    expect(tryStopWork(path)).toBeUndefined();
    second[Symbol.dispose]();
    const sweeping = tryStopWork(path);
    expect(sweeping).toBeDefined();
    let isWorking = false;
    const third = holdWork(path).then((held) => {
      isWorking = true;
      held[Symbol.dispose]();
    });
    await Bun.sleep(50);
    expect(isWorking).toBe(false);
    sweeping?.[Symbol.dispose]();
    await third;
    const abort = new AbortController();
    using _sweeping = tryStopWork(path);
    const cancelled = holdWork(path, abort.signal);
    abort.abort();
    expect(cancelled).rejects.toMatchObject({ code: "cancelled" });
    await cancelled.catch(() => {});
    expect(statSync(path).mode & 0o777).toBe(0o600);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a second daemon is told which one it is that runs", () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-lock-"));
  try {
    takeDaemonLock(join(folder, "daemon.lock"));
    expect(() => takeDaemonLock(join(folder, "daemon.lock"))).toThrow(`(PID ${process.pid})`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
