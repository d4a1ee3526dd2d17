/** Machines on disk and back: snapshots, machines made from them and set back to them, and copies of running ones. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { ImageUsage } from "#api/image-space.ts";
import type { Session } from "#api/session.ts";
import type { Snapshot, SnapshotCreated, VmForked } from "#api/snapshot.ts";
import type { Vm } from "#api/vm.ts";
import type { Check } from "#base/check.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { killPid } from "#test/processes.ts";

const KIND = ["--image", "busybox", "--mode", "direct", "--memory", "192M", "--disk", "64M"];

let banger: Installation;
const snapshots = () => join(banger.home, "state/banger/snapshots");

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
  await banger.ok("vm", "create", "--name", "source", ...KIND, "--net", "user", "-e", "WHO=source");
  // In memory alone, on the disk, and in a process.
  await inside(
    "source",
    "mkdir /mnt && mount -t tmpfs none /mnt; echo old > /mnt/memory; echo old > /disk",
  );
  const script = "x=kept; while [ ! -e /go ]; do sleep 0.1; done; echo $x > /answer; sleep 1000";
  await banger.ok("vm", "session", "start", "source", "shell", "--", "sh", "-c", script);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

const inside = async (name: string, script: string) =>
  (await banger.ok("vm", "exec", name, "--", "sh", "-c", script)).trim();

const STATE = "cat /mnt/memory /disk";
const IDENTITY =
  "hostname; cat /etc/machine-id /sys/class/net/eth0/address; cd /proc/sys/kernel/random; cat boot_id uuid";

/** The shell of the session goes on, with what it knows. */
async function answerOf(name: string): Promise<string> {
  return await inside(name, "touch /go; until [ -s /answer ]; do sleep 0.1; done; cat /answer");
}

test("a snapshot holds disk and memory; the machine goes on, and can be set back to it", async () => {
  const made = await banger.json<SnapshotCreated>("vm", "snapshot", "create", "source", "ready");
  expect(made.snapshot).toMatchObject({ name: "ready", machine: "source", memory: true });
  expect(made.pause_ms).toBeGreaterThan(0);
  expect(statSync(join(snapshots(), "ready")).mode & 0o777).toBe(0o700);
  for (const name of readdirSync(join(snapshots(), "ready"))) {
    expect(statSync(join(snapshots(), "ready", name)).mode & 0o777).toBe(0o600);
  }
  const before = await inside("source", IDENTITY);
  await inside("source", "echo new > /mnt/memory; echo new > /disk; sync");
  const back = await banger.json<Vm>("vm", "restore", "source", "ready");
  expect(back.state).toBe("running");
  // By which its snapshots are known when it is renamed.
  expect(back.id).toBe(made.snapshot.machineId);
  expect(await inside("source", STATE)).toBe("old\nold");
  const after = await inside("source", IDENTITY);
  expect(after.split("\n").slice(0, 3)).toEqual(before.split("\n").slice(0, 3));
  expect(after.split("\n")[4]).not.toBe(before.split("\n")[4]);
  const off_s = Number(await inside("source", "date +%s")) - Date.now() / 1000;
  expect(Math.abs(off_s)).toBeLessThan(60);
  const sessions = await banger.json<Session[]>("vm", "session", "list", "source");
  expect(sessions).toMatchObject([{ name: "shell", state: "running" }]);
});

test("a machine that is being set back gets there, although nobody waits for it any more", async () => {
  await inside("source", "echo new > /mnt/memory");
  const restoring = banger.spawn(["vm", "restore", "source", "ready"]);
  const state = async () => (await banger.json<Vm>("vm", "show", "source")).state;
  while ((await state()) === "running" && restoring.exitCode === null) await Bun.sleep(1);
  restoring.kill("SIGINT");
  await restoring.exited;
  while ((await state()) !== "running") await Bun.sleep(50);
  expect(await inside("source", STATE)).toBe("old\nold");
});

test("a machine made from it goes on from there, as another one, and survives a restart", async () => {
  const args = ["vm", "create", "--snapshot", "ready", "--name", "second", "-e", "MORE=yes"];
  const { stderr, status } = await banger.call([...args, "--progress", "plain"]);
  expect({ status, stderr }).toMatchObject({
    status: 0,
    stderr: expect.stringContaining("Restoring second"),
  });
  expect(await banger.json<Vm>("vm", "show", "second")).toMatchObject({ snapshot: "ready" });
  expect(await inside("second", STATE)).toBe("old\nold");
  expect(await answerOf("second")).toBe("kept");
  expect(await inside("second", "echo $WHO $MORE")).toBe("source yes");
  const [one, two] = await Promise.all(["source", "second"].map((name) => inside(name, IDENTITY)));
  const lines = [one, two].map((text) => text?.split("\n") ?? []);
  expect(lines[0]?.filter((line, index) => line === lines[1]?.[index])).toEqual([]);
  await banger.ok("vm", "restart", "second");
  expect(await inside("second", "cat /disk; ls /mnt")).toBe("old");
  await banger.ok("vm", "rm", "--force", "second");
});

test("copies of a running machine run, each as another one, and are counted in names", async () => {
  const args = ["vm", "fork", "source", "-n", "3", "--name", "copy-{}", "-p", "80"];
  const { machines, pause_ms } = await banger.json<VmForked>(...args);
  expect(pause_ms).toBeGreaterThan(0);
  const names = machines.map(({ name }) => name);
  expect(names).toEqual(["copy-1", "copy-2", "copy-3"]);
  expect(machines.map(({ forkOf, state }) => [forkOf, state])).toEqual(
    names.map(() => ["source", "running"]),
  );
  const ports = machines.map(({ network }) => network.ports?.[0]?.hostPort);
  expect(new Set(ports).size).toBe(3);
  const all = ["source", ...names];
  const identities = await Promise.all(all.map((name) => inside(name, IDENTITY)));
  for (const index of [0, 1, 2, 3, 4]) {
    expect(new Set(identities.map((text) => text.split("\n")[index])).size).toBe(4);
  }
  expect(await Promise.all(names.map((name) => inside(name, STATE)))).toEqual(
    names.map(() => "old\nold"),
  );
  await inside("copy-1", "echo mine > /disk; echo mine > /mnt/memory");
  expect(await inside("copy-2", STATE)).toBe("old\nold");
  expect(await inside("source", STATE)).toBe("old\nold");
  // A copy of a copy, whose memory's file is gone.
  await banger.ok("vm", "fork", "copy-1", "--name", "grandchild");
  expect(await inside("grandchild", STATE)).toBe("mine\nmine");
  expect(readdirSync(snapshots())).toEqual(["ready"]);
  const taken = await banger.call(["vm", "fork", "source", "-n", "2", "--name", "copy-{}"]);
  expect(taken).toMatchObject({ status: 5, stderr: expect.stringContaining('"copy-1"') });
  const fixed = await banger.call(["vm", "fork", "source", "-n", "2", "-p", "8080:80"]);
  expect(fixed).toMatchObject({ status: 2, stderr: expect.stringContaining("8080") });
  await banger.ok("vm", "rm", "--force", ...names, "grandchild");
});

test("the disk alone is saved of a stopped machine, and of a running one on demand", async () => {
  await inside("source", "echo unwritten > /late");
  const args = ["vm", "snapshot", "create", "source", "disk", "--disk-only"];
  const made = await banger.json<SnapshotCreated>(...args);
  expect(made.snapshot.memory).toBe(false);
  await banger.ok("vm", "create", "--snapshot", "disk", "--name", "booted");
  expect(await inside("booted", "cat /disk /late; ls /mnt")).toBe("old\nunwritten");
  await banger.ok("vm", "stop", "booted");
  const stopped = await banger.json<SnapshotCreated>("vm", "snapshot", "create", "booted");
  expect(stopped).toMatchObject({ snapshot: { memory: false } });
  expect(stopped.pause_ms).toBeUndefined();
  const { stderr } = await banger.call(["vm", "restore", "booted", "ready"]);
  expect(stderr).toContain("it is of another machine, source");
  expect(stderr).toContain("banger vm create --snapshot ready");
  await banger.ok("vm", "restore", "booted", stopped.snapshot.name);
  expect((await banger.json<Vm>("vm", "show", "booted")).state).toBe("stopped");
  const refused = await banger.call(["vm", "fork", "booted"]);
  expect(refused.stderr).toContain('Cannot fork machine "booted": it is stopped');
  await banger.ok("vm", "rm", "booted");
  await banger.ok("vm", "snapshot", "rm", stopped.snapshot.name, "disk");
});

test("an archive is read back whole, and nothing of one that is not", async () => {
  const file = join(banger.home, "ready.tar.zst");
  await banger.ok("vm", "snapshot", "export", "ready", file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const again = await banger.call(["vm", "snapshot", "export", "ready", file]);
  expect(again.stderr).toContain("--force");
  const taken = await banger.call(["vm", "snapshot", "import", file]);
  expect(taken.stderr).toContain('"ready": the name is already in use');
  expect(await banger.json<Snapshot>("vm", "snapshot", "import", file, "other")).toMatchObject({
    name: "other",
    memory: true,
  });
  const bytes = readFileSync(file);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  const damaged = join(banger.home, "damaged.tar.zst");
  for (const content of [bytes, bytes.subarray(0, 1000), "no archive", new Uint8Array(0)]) {
    writeFileSync(damaged, content);
    const { status, stderr } = await banger.call(["vm", "snapshot", "import", damaged, "bad"]);
    expect(status).not.toBe(0);
    expect(stderr).not.toContain("internal");
  }
  expect(readdirSync(snapshots()).sort()).toEqual(["other", "ready"]);
  await banger.ok("vm", "create", "--snapshot", "other", "--name", "imported");
  expect(await inside("imported", STATE)).toBe("old\nold");
  await banger.ok("vm", "rm", "--force", "imported");
});

test("memory that cannot be restored leaves the disk, a changed disk leaves nothing", async () => {
  const memory = join(snapshots(), "other/memory");
  appendFileSync(memory, "more");
  const args = ["vm", "create", "--snapshot", "other", "--name", "cold"];
  const { status, stderr } = await banger.call(args);
  expect({ status, stderr }).toMatchObject({
    status: 0,
    stderr: expect.stringContaining("Cannot restore the memory of snapshot"),
  });
  expect(await inside("cold", "cat /disk; ls /mnt")).toBe("old");
  await banger.ok("vm", "rm", "--force", "cold");
  appendFileSync(join(snapshots(), "other/disk.ext4"), "more");
  const refused = await banger.call(args);
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain('Cannot use snapshot "other": its disk was changed');
  writeFileSync(join(snapshots(), "other/snapshot.json"), "{}");
  const shown = await banger.call(["vm", "snapshot", "show", "other"]);
  expect(shown.stderr).toContain("banger vm snapshot rm other");
  await banger.ok("vm", "snapshot", "rm", "other");
  expect(await banger.ok("vm", "snapshot", "list", "-q")).toBe("ready\n");
});

test("what a machine has from its snapshot cannot be asked for, and its image stays", async () => {
  for (const more of [
    ["--memory", "1G"],
    ["--image", "busybox"],
    ["--net", "none"],
  ]) {
    const refused = await banger.call(["vm", "create", "--snapshot", "ready", ...more]);
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining("conflicting") });
  }
  const missing = await banger.call(["vm", "create", "--snapshot", "redy"]);
  expect(missing.stderr).toContain("ready");
  const usage = await banger.json<ImageUsage>("image", "du");
  expect(usage.snapshots_bytes).toBeGreaterThan(1_000_000);
  const checks = await banger.json<Check[]>("doctor");
  expect(checks.find(({ id }) => id === "memory")).toMatchObject({ status: "ok" });
  await banger.ok("image", "gc", "--all");
  expect(await banger.ok("vm", "snapshot", "list", "-q")).toBe("ready\n");
});

test("a daemon that is killed while it saves or copies leaves nothing half-made", async () => {
  const daemon = () => banger.processes().find(({ command }) => /daemon run/.test(command))?.pid;
  for (const args of [
    ["vm", "snapshot", "create", "source", "killed"],
    ["vm", "fork", "source", "-n", "2", "--name", "killed-{}"],
  ]) {
    const child = banger.spawn(args);
    const isBegun = () => readdirSync(snapshots()).some((name) => name.startsWith("."));
    while (!isBegun() && child.exitCode === null) await Bun.sleep(1);
    killPid(daemon());
    await child.exited;
    expect(await inside("source", STATE)).toBe("old\nold");
    const left = readdirSync(snapshots());
    expect(left.filter((name) => name !== "killed")).toEqual(["ready"]);
    const vms = await banger.json<Vm[]>("vm", "list");
    for (const { name, state } of vms) expect([name, state]).toEqual([name, "running"]);
    const copies = vms.map(({ name }) => name).filter((name) => name !== "source");
    for (const name of copies) expect(await inside(name, STATE)).toBe("old\nold");
    if (copies.length > 0) await banger.ok("vm", "rm", "--force", ...copies);
  }
  rmSync(join(snapshots(), "killed"), { recursive: true, force: true });
});

test("an image is kept as long as a snapshot needs it", async () => {
  await banger.ok("vm", "rm", "--force", "source");
  const refused = await banger.call(["image", "rm", "busybox"]);
  expect(refused.stderr).toContain("banger vm snapshot rm ready");
  // One that is half-made belongs to nobody once the daemon starts.
  mkdirSync(join(snapshots(), ".staging-new-00000000"));
  await banger.ok("daemon", "stop");
  await banger.ok("vm", "create", "--snapshot", "ready", "--name", "last");
  expect(existsSync(join(snapshots(), ".staging-new-00000000"))).toBe(false);
  await banger.ok("vm", "snapshot", "rm", "ready");
  expect(await inside("last", STATE)).toBe("old\nold");
  await banger.ok("vm", "rm", "--force", "last");
  await banger.ok("image", "rm", "busybox");
});
