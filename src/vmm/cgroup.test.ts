import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupChecks, cgroupHome } from "./cgroup.ts";

let proc = "";
beforeEach(() => {
  proc = mkdtempSync("/tmp/banger-cgroup-");
});
afterEach(() => rmSync(proc, { recursive: true, force: true }));

/** A process that sees these mounts of cgroup v2, whether or not anything is there. */
function sees(...mounts: string[]): void {
  const lines = mounts.map((path) => `cgroup2 ${path.replaceAll(" ", "\\040")} cgroup2 rw 0 0\n`);
  writeFileSync(join(proc, "mounts"), `proc /proc proc rw 0 0\n${lines.join("")}`);
  writeFileSync(join(proc, "cgroup"), "0::/user\n");
}

/** A folder that looks like the root of a hierarchy, with one group below. */
function hierarchy(name: string): string {
  const root = join(proc, name);
  for (const folder of [root, join(root, "user")]) {
    mkdirSync(folder);
    writeFileSync(join(folder, "cgroup.controllers"), "cpuset cpu io memory pids\n");
    writeFileSync(join(folder, "cgroup.subtree_control"), "");
  }
  return root;
}

test("a mount of cgroup v2 that is hidden is an obstacle, and no failure", () => {
  sees("/nowhere/cgroup");
  const obstacle = "cgroup v2 is mounted on /nowhere/cgroup, which is not accessible";
  expect(cgroupHome(proc)).toEqual({ obstacle });
  expect(cgroupChecks(proc)[0]).toMatchObject({ id: "cgroup", status: "warn" });
  sees();
  expect(cgroupHome(proc)).toEqual({ obstacle: "the host has no cgroup v2" });
});

test("the first mount that can be read is taken", () => {
  const root = hierarchy("a b");
  sees("/nowhere/cgroup", root);
  expect(cgroupHome(proc)).toMatchObject({ path: expect.stringContaining(root) });
});
