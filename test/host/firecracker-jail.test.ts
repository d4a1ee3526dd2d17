/** The jail around Firecracker: mounts, users and sockets are real, the two programs in it are stand-ins. */
import { afterEach, beforeEach, expect } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import type { Plan } from "#test/firecracker-api.ts";
import { FirecrackerPeer } from "#test/firecracker-peer.ts";
import { testNeeding } from "#test/needs.ts";
import { startReaper } from "#test/reaper.ts";
import { GuestLines } from "#test/tiny-guest.ts";
import type { BootSpec } from "#vmm/driver.ts";
import { createFirecrackerDriver } from "#vmm/firecracker/driver.ts";
import { cgroupOf, hasCgroups } from "#vmm/firecracker/jail.ts";
import { prepareLaunch } from "#vmm/firecracker/launch.ts";
import type { FirecrackerMachine } from "#vmm/firecracker/machine.ts";
import { clearRuntime } from "#vmm/firecracker/notes.ts";
import { JAIL_GID, jailUid } from "#vmm/jail/user.ts";
import { setTapOwner } from "#vmm/tap.ts";

const test = testNeeding("root", "unshare", "mount", "chroot");
const testWithTap = testNeeding("root", "unshare", "mount", "chroot", "ip");

const ROOT = join(import.meta.dir, "../..");
const STAND_IN = join(ROOT, "test/support/firecracker-jailer.sh");

let folder = "";
const machines: FirecrackerMachine[] = [];

beforeEach(() => {
  folder = mkdtempSync("/tmp/banger-jail-");
  startReaper(folder);
});
afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.kill();
  rmSync(folder, { recursive: true, force: true });
});

function setUp(plan: Plan = {}) {
  const peer = new FirecrackerPeer(folder, plan);
  const journal = peer.file("journal", "");
  chmodSync(journal, 0o666);
  const shows = [process.execPath, join(ROOT, "test/support"), journal].join(" ");
  const jailer = join(folder, "jailer");
  const script = `#!/bin/sh\nJAILER_SHOWS='${shows}' exec '${STAND_IN}' "$@"\n`;
  writeFileSync(jailer, script, { mode: 0o755 });
  const driver = createFirecrackerDriver({ program: peer.program, jailer });
  const boot = async (spec: BootSpec) => {
    const machine = await driver.boot(spec);
    machines.push(machine);
    return machine;
  };
  return { peer, driver, boot };
}

function privateSpec(peer: FirecrackerPeer, changes: Partial<BootSpec> = {}): BootSpec {
  const spec = peer.spec(changes);
  for (const path of [spec.kernelPath, spec.initrdPath, ...spec.drives.map(({ path }) => path)]) {
    chmodSync(path, 0o600);
  }
  return spec;
}

function ownerOf(path: string): number[] {
  const { uid, gid, mode } = statSync(path);
  return [uid, gid, mode & 0o777];
}

function firstData(stream: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve) => stream.once("data", (data) => resolve(String(data))));
}

test("a machine runs as a user of its own, in a root of its own, that nobody else sees", async () => {
  const { peer, boot } = setUp();
  const spec = privateSpec(peer);
  const machine = await boot(spec);
  const { pid } = machine.handle;
  const uid = jailUid(spec.runtimeDir);
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  expect(status).toContain(`Uid:\t${uid}\t${uid}`);
  expect(status).toContain(`Gid:\t${JAIL_GID}\t${JAIL_GID}`);
  const inside = readdirSync(`/proc/${pid}/root`);
  expect(inside).toEqual(expect.arrayContaining(["kernel", "initrd", "disk0", "disk1"]));
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("banger-jail");
  expect(readdirSync(join(spec.runtimeDir, "jail"))).toEqual([]);
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8");
  const modeOf = (name: string) => new RegExp(` /${name} (ro|rw),`).exec(mounts)?.[1];
  expect(["kernel", "initrd", "disk0", "disk1"].map(modeOf)).toEqual(["ro", "ro", "ro", "rw"]);

  expect(await firstData(await machine.connectAgent())).toBe("hello\n");
  const heard = Promise.withResolvers<string>();
  await machine.listen(77, (socket) => socket.on("data", (data) => heard.resolve(String(data))));
  const guest = await Bun.connect({
    unix: `/proc/${pid}/root/vsock.sock_77`,
    socket: { data() {} },
  });
  guest.write("out of the jail");
  expect(await heard.promise).toBe("out of the jail");
  guest.end();
});

test("files are lent to the machine: what it writes is its own, what it reads stays shared", async () => {
  const { peer, boot } = setUp();
  const spec = privateSpec(peer);
  const [shared, own] = spec.drives.map(({ path }) => path);
  if (!shared || !own) throw new Error("two drives are needed");
  chownSync(own, 1234, 1234);
  const machine = await boot(spec);
  expect(ownerOf(own)).toEqual([jailUid(spec.runtimeDir), JAIL_GID, 0o600]);
  for (const path of [shared, spec.kernelPath, spec.initrdPath]) {
    expect(ownerOf(path)).toEqual([0, JAIL_GID, 0o640]);
  }
  await machine.kill();
  expect(ownerOf(own)).toEqual([1234, 1234, 0o600]);
  expect(readdirSync(spec.runtimeDir)).toEqual([]);
});

test("a file whose group would lose its rights is refused", async () => {
  const { peer, driver } = setUp();
  const spec = privateSpec(peer);
  chownSync(spec.kernelPath, 0, 4242);
  chmodSync(spec.kernelPath, 0o640);
  const failure = await bangerErrorOf(driver.boot(spec));
  expect([failure.code, failure.hint]).toEqual([
    "permission_denied",
    `chmod o+r "${spec.kernelPath}"`,
  ]);
  expect(readdirSync(spec.runtimeDir)).toEqual([]);
  expect(ownerOf(spec.kernelPath)).toEqual([0, 4242, 0o640]);
});

test("a jailed machine is adopted, paused and ended, also when its handle was lost", async () => {
  const { peer, driver, boot } = setUp();
  const spec = privateSpec(peer);
  const { handle } = await boot(spec);
  machines.splice(0)[0]?.release();
  const adopted = await driver.adopt(handle);
  if (!adopted) throw new Error("the machine is gone");
  await adopted.pause();
  await adopted.resume();
  expect(await firstData(await adopted.connectAgent())).toBe("hello\n");
  adopted.release();
  expect(await driver.killOrphan(spec.runtimeDir)).toBe(true);
  expect(readdirSync(spec.runtimeDir)).toEqual([]);
  expect(await driver.adopt(handle)).toBeUndefined();
});

test("a snapshot leaves the jail as this user's own, and comes into another read-only", async () => {
  const { peer, driver, boot } = setUp();
  const spec = privateSpec(peer);
  const machine = await boot(spec);
  const lines = new GuestLines(await machine.connectAgent());
  expect([await lines.next(), await lines.ask("set text")]).toEqual(["hello", "set"]);
  const files = { memoryPath: join(folder, "memory"), statePath: join(folder, "state") };
  const { pid } = machine.handle;
  expect(statSync(`/proc/${pid}/root/snapshot`)).toMatchObject({ uid: 0, mode: 0o40711 });
  await machine.snapshot?.(files);
  for (const path of Object.values(files)) expect(ownerOf(path)).toEqual([0, 0, 0o600]);
  expect(readdirSync(`/proc/${pid}/root/snapshot`)).toEqual([]);
  const own = privateSpec(peer);
  const restored = await driver.restore(own, files);
  machines.push(restored);
  for (const path of Object.values(files)) expect(ownerOf(path)).toEqual([0, JAIL_GID, 0o640]);
  const mounts = readFileSync(`/proc/${restored.handle.pid}/mountinfo`, "utf8");
  for (const name of ["memory", "state"]) expect(mounts).toMatch(new RegExp(` /${name} ro,`));
  const again = new GuestLines(await restored.connectAgent());
  expect([await again.next(), await again.ask("get")]).toEqual(["hello", "text"]);
  await restored.kill();
  expect(existsSync(`${own.logPath}.snapshot`)).toBe(false);
  expect(readdirSync(own.runtimeDir)).toEqual([]);
});

test("a control group that the caller has made is left to the caller", async () => {
  const { peer } = setUp();
  const program = { path: peer.program, version: "1.14.1" };
  const options = { serial: true, jailer: join(folder, "jailer"), snapshot: undefined };
  const isRemoved = async (changes: (id: string) => Partial<BootSpec>) => {
    const spec = privateSpec(peer);
    const launch = await prepareLaunch({ ...spec, ...changes(spec.id) }, program, options);
    clearRuntime(spec.runtimeDir);
    return launch.notes.jail?.cgroup;
  };
  expect(await isRemoved(() => ({}))).toBe(hasCgroups());
  expect(await isRemoved((id) => ({ cgroup: cgroupOf(id) }))).toBe(false);
});

test("a failure in the jail is undone as a whole", async () => {
  for (const plan of [{ refuse: "PUT /vsock" }, { crash: "PUT /boot-source" }] satisfies Plan[]) {
    const { peer, driver } = setUp(plan);
    const spec = privateSpec(peer);
    const [, own] = spec.drives;
    await bangerErrorOf(driver.boot(spec));
    expect(readdirSync(spec.runtimeDir)).toEqual([]);
    expect(ownerOf(own?.path ?? "")).toEqual([0, 0, 0o600]);
  }
});

testWithTap("the tap is the machine's while it runs", async () => {
  const tap = `bgrj${process.pid % 1_000_000}`;
  const owner = () => Number(readFileSync(`/sys/class/net/${tap}/owner`, "utf8"));
  await runOk(["ip", "tuntap", "add", "dev", tap, "mode", "tap", "user", "0"]);
  try {
    const { peer, boot } = setUp();
    const network = { kind: "tap", tap, mac: "52:54:00:12:34:56" } as const;
    const spec = privateSpec(peer, { network });
    const machine = await boot(spec);
    expect(owner()).toBe(jailUid(spec.runtimeDir));
    await machine.kill();
    expect(owner()).toBe(0);
    expect(() => setTapOwner("bgr-none", 1)).toThrow("no such tap device");
  } finally {
    await runOk(["ip", "link", "delete", tap]);
  }
});
