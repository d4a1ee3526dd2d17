/** Snapshots and restores, against the API peer. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { bangerErrorOf } from "#test/expect-error.ts";
import type { Plan } from "#test/firecracker-api.ts";
import { FirecrackerPeer } from "#test/firecracker-peer.ts";
import { GuestLines } from "#test/tiny-guest.ts";
import type { BootSpec } from "#vmm/driver.ts";
import { createFirecrackerDriver } from "./driver.ts";
import type { FirecrackerMachine } from "./machine.ts";
import { writeNotes } from "./notes.ts";
import { snapshotType } from "./snapshot.ts";

/** A link that every computer has; the peer opens none. */
const NETWORK = { kind: "tap", tap: "lo", mac: "52:54:00:12:34:56" } as const;

let folder = "";
const machines: FirecrackerMachine[] = [];

beforeEach(() => {
  folder = mkdtempSync("/tmp/banger-fc-");
});
afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.kill();
  rmSync(folder, { recursive: true, force: true });
});

function setUp(plan: Plan = {}, options: { serial?: boolean } = {}) {
  const peer = new FirecrackerPeer(folder, plan);
  const driver = createFirecrackerDriver({ program: peer.program, jailer: false, ...options });
  const boot = async (spec: BootSpec) => {
    const machine = await driver.boot(spec);
    machines.push(machine);
    return machine;
  };
  const files = { memoryPath: join(folder, "memory"), statePath: join(folder, "state") };
  const kinds = () =>
    peer.journal().flatMap(({ request, body }) => {
      return request === "PUT /snapshot/create" ? [body?.["snapshot_type"]] : [];
    });
  return { peer, driver, boot, files, kinds };
}

test("which versions can, and by which kind", () => {
  const versions = ["1.7.0", "1.11.9", "1.12.0", "1.13.0", "1.17.0"];
  expect(versions.map(snapshotType)).toEqual([undefined, undefined, "Full", "Diff", "Diff"]);
});

test.each([
  ["1.11.0", false],
  ["1.12.0", true],
])("with version %s its feature is %p", async (version, can) => {
  const { driver, boot, peer } = setUp({ version });
  expect(driver.features.snapshot).toBe(can);
  expect((await boot(peer.spec())).snapshot !== undefined).toBe(can);
  expect(createFirecrackerDriver({ program: join(folder, "none") }).features.snapshot).toBe(false);
});

test.each(["1.12.0", "1.14.1", "1.17.0"])(
  "with %s it is made and restored from",
  async (version) => {
    const { peer, driver, boot, files, kinds } = setUp({ version });
    const machine = await boot(peer.spec({ network: NETWORK }));
    const lines = new GuestLines(await machine.connectAgent());
    expect([await lines.next(), await lines.ask("set text")]).toEqual(["hello", "set"]);
    let pauses = 0;
    await machine.snapshot?.(files, { onPause: () => pauses++ });
    expect(pauses).toBe(1);
    expect(statSync(files.memoryPath)).toMatchObject({ size: 256 << 20, mode: 0o100600 });
    // Full writes zeros, which are no more there.
    expect(statSync(files.memoryPath).blocks * 512).toBeLessThan(64 << 10);
    await expect(lines.next()).rejects.toThrow("ended");
    const own = peer.spec({ network: NETWORK });
    const restored = await driver.restore(own, files);
    machines.push(restored);
    const again = new GuestLines(await restored.connectAgent());
    expect([await again.next(), await again.ask("get")]).toEqual(["hello", "text"]);
    // Its page that the guest has not written to since is in the file that it came from, which is gone by now.
    for (const path of Object.values(files)) rmSync(path);
    const second = { memoryPath: `${files.memoryPath}2`, statePath: `${files.statePath}2` };
    await restored.snapshot?.(second);
    const type = version === "1.12.0" ? "Full" : "Diff";
    expect(kinds()).toEqual([type, type]);
    expect(readFileSync(second.memoryPath).toString("utf8", 8192, 8197)).toBe("early");
    expect(statSync(second.memoryPath).blocks * 512).toBeLessThan(64 << 10);
  },
);

test("one that fails leaves no file, and the machine goes on", async () => {
  const { peer, boot, files } = setUp({ refuse: "PUT /snapshot/create", fault: "no space" });
  const machine = await boot(peer.spec());
  const failure = await bangerErrorOf(machine.snapshot?.(files) as Promise<void>);
  expect(failure.message).toContain("PUT /snapshot/create failed with status 400: no space");
  writeFileSync(files.memoryPath, "of another");
  await expect(machine.snapshot?.(files)).rejects.toThrow("EEXIST");
  expect(readdirSync(folder).filter((name) => ["memory", "state"].includes(name))).toEqual([
    "memory",
  ]);
  await machine.resume();
  expect(await new GuestLines(await machine.connectAgent()).next()).toBe("hello");
});

test("a failed restore is told, ends its process, and leaves nothing", async () => {
  const { peer, driver, boot, files } = setUp();
  const machine = await boot(peer.spec());
  await machine.snapshot?.(files);
  const own = peer.spec();
  const attempts: [Partial<BootSpec>, RegExp][] = [
    [{ drives: own.drives.slice(1) }, /Unable to open "disk1"/],
    [{ network: NETWORK }, /Unknown Network Device/],
  ];
  for (const [changes, why] of attempts) {
    const spec = peer.spec(changes);
    const { message } = await bangerErrorOf(driver.restore(spec, files));
    expect(message).toMatch(/^Cannot restore the machine: PUT \/snapshot\/load failed/);
    expect(message).toMatch(why);
    expect(readdirSync(spec.runtimeDir)).toEqual([]);
  }
  truncateSync(files.memoryPath, 4096);
  await expect(driver.restore(own, files)).rejects.toThrow("The memory file has 4096 bytes");
  const crashing = setUp({ crash: "PUT /snapshot/load" });
  await expect(crashing.driver.restore(peer.spec(), files)).rejects.toThrow(
    "Cannot restore the machine: Firecracker exited at PUT /snapshot/load",
  );
  const cancelled = bangerErrorOf(driver.restore(peer.spec(), files, AbortSignal.timeout(0)));
  expect((await cancelled).code).toBe("cancelled");
});

test("a machine of a banger whose snapshots name its own files has none", async () => {
  const { peer, driver, boot } = setUp();
  const spec = peer.spec();
  const { handle } = await boot(spec);
  machines.splice(0)[0]?.release();
  const { id, consolePath, logPath } = spec;
  const old = { id, consolePath, logPath, consoleStart_bytes: 0, logStart_bytes: 0 };
  writeNotes(spec.runtimeDir, { ...old, drives: 0, saysGoodbye: true });
  const adopted = await driver.adopt(handle);
  if (!adopted) throw new Error("the machine is gone");
  machines.push(adopted);
  expect(adopted.snapshot).toBeUndefined();
});

test("another version, or other devices, make another key", async () => {
  const keys = [
    await setUp({ version: "1.14.1" }).driver.snapshotKey?.(),
    await setUp({ version: "1.14.1" }, { serial: false }).driver.snapshotKey?.(),
    await setUp({ version: "1.15.0" }).driver.snapshotKey?.(),
  ];
  expect(new Set(keys).size).toBe(3);
});
