import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BootSpec } from "#vmm/driver.ts";
import { jailUid } from "#vmm/jail/user.ts";
import { hasCgroups, jailCommand, removeCgroup } from "./jail.ts";
import { belongsTo, hostFiles, jailedApiSocket, jailedPaths, socketsOf } from "./layout.ts";

const spec: BootSpec = {
  id: "k3v0q8zj7t1m",
  runtimeDir: "/run/banger/k3v0q8zj7t1m",
  consolePath: "/state/console",
  logPath: "/state/log",
  cpus: 4,
  memory_mib: 512,
  kernelPath: "/state/vm linux",
  initrdPath: "/state/initrd",
  kernelArgs: [],
  drives: [
    { path: "/images/root.img", readOnly: true },
    { path: "/state/$(touch x).img", readOnly: false },
  ],
  network: undefined,
};

const plan = {
  spec,
  firecracker: "/opt/fc/firecracker-v1.14.1",
  jailer: "/opt/fc/jailer",
  firecrackerArgs: ["--api-sock", jailedApiSocket(spec.runtimeDir)],
  uid: 1001,
  gid: 1002,
  cgroup: true,
};

test("the jailer gets its own arguments and Firecracker's after --", () => {
  const argv = jailCommand(plan);
  const start = argv.indexOf(plan.jailer);
  expect(argv.slice(start)).toEqual([
    "/opt/fc/jailer",
    ...["--id", "k3v0q8zj7t1m", "--exec-file", "/opt/fc/firecracker-v1.14.1"],
    ...["--uid", "1001", "--gid", "1002"],
    ...["--chroot-base-dir", "/run/banger/k3v0q8zj7t1m/jail"],
    ...["--cgroup-version", "2", "--parent-cgroup", "banger", "--cgroup", "pids.max=68"],
    "--",
    ...["--api-sock", jailedApiSocket(spec.runtimeDir)],
  ]);
  expect(jailCommand({ ...plan, cgroup: false }).join(" ")).not.toContain("cgroup");
});

test("everything is mounted in a namespace of its own, what is only read read-only", () => {
  const argv = jailCommand(plan);
  expect(argv.slice(0, 5)).toEqual(["unshare", "--mount", "--propagation", "private", "--"]);
  const [base, root, ...rest] = argv.slice(argv.indexOf("banger-jail") + 1);
  expect(base).toBe("/run/banger/k3v0q8zj7t1m/jail");
  expect(root).toBe(`${base}/firecracker-v1.14.1/k3v0q8zj7t1m/root`);
  expect(rest.slice(0, rest.indexOf("--"))).toEqual([
    ...["ro", "/state/vm linux", "/kernel"],
    ...["ro", "/state/initrd", "/initrd"],
    ...["ro", "/images/root.img", "/disk0"],
    ...["rw", "/state/$(touch x).img", "/disk1"],
    ...["rw", "/run/banger/k3v0q8zj7t1m/vmm.log", "/vmm.log"],
    ...["rw", "/state/log.snapshot", "/snapshot"],
  ]);
});

test("a snapshot comes into the jail in place of kernel and initrd", () => {
  const snapshot = { memoryPath: "/cache/memory file", statePath: "/cache/state" };
  const argv = jailCommand({ ...plan, snapshot });
  const start = argv.indexOf("banger-jail") + 3;
  expect(argv.slice(start, start + 6)).toEqual([
    ...["ro", "/cache/memory file", "/memory"],
    ...["ro", "/cache/state", "/state"],
  ]);
  expect(argv.join(" ")).not.toContain("/state/initrd");
});

test("each machine has a user id of its own, outside of what systemd gives out", () => {
  const uids = Array.from({ length: 200 }, (_, index) => jailUid(`/run/${index}`));
  expect(new Set(uids).size).toBe(200);
  for (const uid of uids) expect(uid >= 0x7000_0000 && uid < 0x7100_0000).toBe(true);
  expect(jailUid("/run/1")).toBe(jailUid("/run/1"));
});

test("a process is known by its API socket, jailed or not, before and after it is jailed", () => {
  const { runtimeDir } = spec;
  expect(belongsTo(jailCommand(plan), runtimeDir)).toBe(true);
  const inside = ["/firecracker", "--id", "x", "--api-sock", jailedPaths(spec).apiSocket];
  expect(belongsTo(inside, runtimeDir)).toBe(true);
  expect(belongsTo(["f", "--api-sock", hostFiles(runtimeDir).apiSocket], runtimeDir)).toBe(true);
  expect(belongsTo(inside, "/run/banger/other")).toBe(false);
  expect(belongsTo(["f", "--api-sock"], runtimeDir)).toBe(false);
  expect(belongsTo([], runtimeDir)).toBe(false);
});

test("every socket path is short enough", () => {
  const runtimeDir = `/${"r".repeat(79)}`;
  for (const pid of [undefined, 4_194_304]) {
    const { api, vsock } = socketsOf(runtimeDir, pid);
    for (const path of [api, vsock, `${vsock}_4294967295`]) {
      expect(Buffer.byteLength(path)).toBeLessThan(108);
    }
  }
});

test("cgroups are used where the second version has pids, and removed after", () => {
  const root = mkdtempSync(join(tmpdir(), "banger-cgroup-"));
  try {
    expect(hasCgroups(root)).toBe(false);
    writeFileSync(join(root, "cgroup.controllers"), "cpu memory pids\n");
    expect(hasCgroups(root)).toBe(true);
    mkdirSync(join(root, "banger", "one"), { recursive: true });
    mkdirSync(join(root, "banger", "two"));
    removeCgroup("one", root);
    expect(hasFolder(root, "banger/two")).toBe(true);
    removeCgroup("two", root);
    expect(hasFolder(root, "banger")).toBe(false);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

function hasFolder(root: string, name: string): boolean {
  return [...new Bun.Glob("**").scanSync({ cwd: root, onlyFiles: false })].includes(name);
}
