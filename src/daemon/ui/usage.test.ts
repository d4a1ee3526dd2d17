import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeVm } from "#test/local-daemon.ts";
import { sampleOf, UsageRecorder } from "./usage.ts";

const counters = {
  at_ms: 0,
  cpu_ms: 0,
  read_bytes: 0,
  write_bytes: 0,
  receive_bytes: 0,
  send_bytes: 0,
};
const sizes = { resident_bytes: 1, disk_bytes: 2 };

test("a sample has rates, by the time that has passed", () => {
  const now = { ...counters, at_ms: 2000, cpu_ms: 3000, read_bytes: 4096, receive_bytes: 10 };
  expect(sampleOf(counters, now, sizes)).toEqual({
    at_ms: 2000,
    cpu: 1.5,
    read_bytes: 2048,
    write_bytes: 0,
    receive_bytes: 5,
    send_bytes: 0,
    ...sizes,
  });
});

test("counters that began again are no negative rate", () => {
  const before = { ...counters, cpu_ms: 100, send_bytes: 100 };
  expect(sampleOf(before, { ...counters, at_ms: 1000 }, sizes)).toMatchObject({
    cpu: 0,
    send_bytes: 0,
  });
});

test("running machines are measured while somebody watches, and forgotten when they end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-usage-"));
  try {
    const disk = join(folder, "disk");
    writeFileSync(disk, "x".repeat(8192));
    const vmm = { driver: "qemu", accelerator: "kvm", pid: process.pid };
    const id = "0".repeat(32);
    let vms = [{ ...makeVm("web"), id, vmm }, makeVm("idle", "stopped")];
    const recorder = new UsageRecorder({
      list: () => vms,
      diskOf: () => disk,
      isWanted: () => false,
    });
    const abort = new AbortController();
    const reports = recorder.watch(abort.signal);
    const next = async () => (await reports.next()).value?.machines;
    expect(await next()).toEqual([{ id, samples: [] }]);
    const [machine] = (await next()) ?? [];
    expect(machine?.id).toBe(id);
    expect(machine?.samples[0]?.resident_bytes).toBeGreaterThan(1024 * 1024);
    expect(machine?.samples[0]?.disk_bytes).toBeGreaterThan(0);
    vms = [];
    expect(await next()).toEqual([]);
    abort.abort();
    expect((await reports.next()).done).toBe(true);
    recorder.stop();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
