/** Settings, names and copies of machines, as a user changes them and as the guest sees them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { runOk } from "#base/run.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { nestedProblem } from "#vmm/host.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

/** Emulated machines always can. */
const isNested = nestedProblem() === undefined;

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
  const sizes = ["--memory", "256M", "--disk", "64M"];
  const labels = ["--label", "team=web", "--label", "old"];
  await banger.ok(
    ...["vm", "create", "--name", "box", "--image", "busybox", "--mode", "direct"],
    ...["--net", "none", ...sizes, ...labels, "--hostname", "first.example"],
    ...(isNested ? ["--nested"] : []),
  );
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

const inside = async (name: string, script: string) =>
  (await banger.ok("vm", "exec", name, "--", "sh", "-c", script)).trim();

/** How long 12 reads of a disk take. */
async function reads_ms(name: string): Promise<number> {
  const from_ms = performance.now();
  await inside(name, "dd if=/dev/vda of=/dev/null bs=4k count=12 iflag=direct 2>/dev/null");
  return performance.now() - from_ms;
}

test("a running machine gets some settings at once, the others at its next start", async () => {
  expect(await inside("box", "hostname")).toBe("first.example");
  await inside("box", "echo mine > /note");
  const { status, stderr } = await banger.call([
    ...["vm", "set", "box", "--memory", "384M", "--disk", "512M", "--restart", "on-failure"],
    ...["-e", "COLOR=blue", "--label", "team=db", "--remove-label", "old", "--ttl", "1h"],
    ...["--disk-iops", "10", "--disk-bandwidth", "1G"],
  ]);
  expect([status, stderr]).toEqual([0, expect.stringContaining("banger vm restart box")]);
  const set = await banger.json<Vm>("vm", "show", "box");
  expect(set).toMatchObject({
    restart: "on-failure",
    labels: { team: "db" },
    limits: { disk_operations_per_s: 10, disk_bytes_per_s: 2 ** 30 },
    pending: ["memory", "disk", "env"],
    expiresAt: expect.any(String),
  });
  expect(await banger.ok("vm", "list", "-q", "--label", "team=db")).toBe("box\n");
  expect(await banger.ok("vm", "list", "-q", "--label", "team=web")).toBe("");
  expect(await reads_ms("box")).toBeGreaterThan(1000);
  const before = await inside("box", "grep MemTotal /proc/meminfo; df -k / | tail -n 1");
  await banger.ok("vm", "restart", "box");
  const after = await inside("box", "grep MemTotal /proc/meminfo; df -k / | tail -n 1");
  const numbers = (text: string) =>
    [...text.matchAll(/\b(\d{4,})\b/g)].map(([word]) => Number(word));
  expect(numbers(after)[0]).toBeGreaterThan((numbers(before)[0] ?? 0) * 1.3);
  expect(numbers(after)[1]).toBeGreaterThan((numbers(before)[1] ?? 0) * 4);
  expect(await inside("box", "cat /note; echo $COLOR")).toBe("mine\nblue");
  expect(await reads_ms("box")).toBeGreaterThan(1000);
  await banger.ok("vm", "set", "box", "--disk-iops", "none");
  const restarted = await banger.json<Vm>("vm", "show", "box");
  expect([restarted.pending, restarted.memory_mib]).toEqual([undefined, 384]);
  expect(restarted.limits).toEqual({ disk_bytes_per_s: 2 ** 30 });
});

const nested = "a nested machine runs guests with KVM, whose modules load by themselves";
test.skipIf(!isNested)(isNested ? nested : `${nested} [needs KVM]`, async () => {
  const program = join(banger.home, "kvm-guest");
  const source = join(import.meta.dir, "../support/kvm-guest.c");
  await runOk(["gcc", "-O1", "-static", "-s", "-o", program, source]);
  await banger.ok("vm", "cp", program, "box:/kvm-guest");
  expect(await inside("box", "/kvm-guest; cut -d' ' -f1 /proc/modules | grep -x kvm")).toBe(
    "12: 42, halted\nkvm",
  );
});

test("a renamed machine is found by its new name, a taken name is refused", async () => {
  const { stderr } = await banger.call(["vm", "rename", "box", "web"]);
  expect(stderr).toBe("");
  expect(await inside("web", "echo here")).toBe("here");
  expect((await banger.call(["vm", "show", "box"])).status).toBe(4);
  await banger.ok("vm", "create", "--no-start", "--name", "other", "--image", "busybox");
  expect((await banger.call(["vm", "rename", "other", "web"])).stderr).toContain(
    "the name is already in use",
  );
  await banger.ok("vm", "rm", "other");
});

test("a clone has the files and an identity of its own; a running machine is not cloned", async () => {
  const running = await banger.call(["vm", "clone", "web", "copy"]);
  expect([running.status, running.stderr]).toEqual([
    6,
    expect.stringContaining("banger vm stop web"),
  ]);
  const identity = "cat /etc/machine-id; hostname";
  const original = await inside("web", identity);
  await banger.ok("vm", "stop", "web");
  expect(await banger.ok("vm", "clone", "web", "copy")).toBe("copy\n");
  expect((await banger.call(["vm", "clone", "web", "copy"])).status).toBe(5);
  const copy = await banger.json<Vm>("vm", "start", "copy");
  expect(copy).toMatchObject({ labels: { team: "db" }, memory_mib: 384 });
  expect(await inside("copy", "cat /note")).toBe("mine");
  const [machineId, hostname] = (await inside("copy", identity)).split("\n");
  expect(hostname).toBe("copy");
  expect(original).not.toContain(machineId ?? "");
  expect((await banger.json<Vm>("vm", "show", "web")).state).toBe("stopped");
});
