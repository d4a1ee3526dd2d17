/**
 * Control groups, tried where they are whole: in a machine of our own, whose kernel has nothing but
 * cgroup v2, as root and as a user whose group was handed to them.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ProbeResult } from "#test/cgroup-probe.ts";
import { debianLayout } from "#test/debian.ts";
import { type Installation, install } from "#test/installation.ts";
import { giveKernel, KERNEL } from "#test/pulled-kernel.ts";

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await giveKernel(banger);
  const source = `oci:${await debianLayout()}`;
  await banger.ok("image", "pull", source, "--name", "debian", "--kernel-ref", KERNEL);
  const machine = ["--image", "debian", "--mode", "direct", "--net", "none", "--memory", "2G"];
  await banger.ok("vm", "create", "--name", "host", ...machine);
  const probe = await Bun.build({
    entrypoints: [join(import.meta.dir, "../support/cgroup-probe.ts")],
    target: "bun",
  });
  await put("/bun", readFileSync(process.execPath));
  await put("/probe.js", new Uint8Array((await probe.outputs[0]?.arrayBuffer()) ?? []));
  const prepare =
    "mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup; chmod 755 /bun";
  await inGuest(prepare);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

test("as root a machine's group holds it to its memory, processors and threads", async () => {
  const result = JSON.parse(await inGuest("/bun /probe.js")) as ProbeResult;
  expect(result.opened).toEqual({ path: "/sys/fs/cgroup/banger" });
  expect(result.limits).toEqual({
    // Its 64 MiB, and what a VMM takes there: more where it emulates.
    "memory.max": String((64 + (result.hasKvm ? 256 : 1280)) * 1024 ** 2),
    "cpu.max": "200000 100000",
    "pids.max": "66",
  });
  expect(result.modest).toBe(0);
  expect(result.greedy).toBe("SIGKILL");
  expect(result.isRemoved).toBe(true);
  expect(await inGuest("ls -d /sys/fs/cgroup/banger || echo gone")).toBe("gone\n");
});

test("a user's daemon divides the group that was handed to it, and says so when none was", async () => {
  const asNobody = "setpriv --reuid nobody --regid nogroup --clear-groups /bun /probe.js";
  const refused = JSON.parse(await inGuest(asNobody)) as ProbeResult;
  expect(refused.opened).toMatchObject({
    obstacle: "the daemon's control group is not delegated",
    fix: expect.stringContaining("banger daemon enable"),
  });
  const handOver = [
    "cd /sys/fs/cgroup && echo '+memory +cpu +pids' > cgroup.subtree_control && mkdir -p app",
    "chown nobody app app/cgroup.procs app/cgroup.subtree_control app/cgroup.threads",
    "echo $$ > app/cgroup.procs",
    `exec ${asNobody}`,
  ].join(" && ");
  const handed = JSON.parse(await inGuest(handOver)) as ProbeResult;
  expect(handed.opened).toEqual({ path: "/sys/fs/cgroup/app" });
  expect(handed.ownGroup).toBe("0::/app/daemon");
  expect(handed.limits["cpu.max"]).toBe("200000 100000");
  expect(handed.modest).toBe(0);
  expect(handed.isRemoved).toBe(true);
});

async function inGuest(script: string): Promise<string> {
  return await banger.ok("vm", "exec", "host", "--", "sh", "-c", script);
}

async function put(path: string, data: Uint8Array): Promise<void> {
  const child = banger.spawn(["vm", "exec", "-i", "host", "--", "sh", "-c", `cat > ${path}`]);
  child.stdin.write(data);
  await child.stdin.end();
  expect(await child.exited).toBe(0);
}
