/** Machines that are restored from a template in place of their first boot: alike in kind, in nothing else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { ImageGcResult, ImageUsage } from "#api/image-space.ts";
import type { Vm } from "#api/vm.ts";
import { sha256 } from "#base/digest.ts";
import { MiB } from "#base/size.ts";
import { pullBusybox } from "#test/busybox.ts";
import { clashes, identityOf, KINDS } from "#test/identities.ts";
import { type Installation, install } from "#test/installation.ts";
import { killPid } from "#test/processes.ts";
import { kvmState } from "#vmm/host.ts";

const KIND = ["--image", "busybox", "--mode", "direct", "--memory", "192M"];

let banger: Installation;

beforeAll(async () => {
  banger = install();
  appendFileSync(join(banger.home, "config/banger/config.toml"), '[vm]\ndisk = "64M"\n');
  await pullBusybox(banger);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

async function create(name: string, ...more: string[]): Promise<{ vm: Vm; stderr: string }> {
  const args = ["vm", "create", "--name", name, ...KIND, "--net", "user", ...more];
  const { status, stdout, stderr } = await banger.call([...args, "--progress", "plain", "--json"]);
  if (status !== 0) throw new Error(stderr);
  return { vm: JSON.parse(stdout) as Vm, stderr };
}

const inside = async (name: string, script: string) =>
  (await banger.ok("vm", "exec", name, "--", "sh", "-c", script)).trim();

/** Of its file system. */
const size_kib = async (name: string) =>
  Number(await inside(name, "df -Pk / | tail -n 1 | awk '{ print $2 }'"));

const templates = () => join(banger.home, "cache/banger/templates");
const template = () => join(templates(), readdirSync(templates())[0] ?? "none");

/** Has none of systemd's, and QEMU's own network gives each the same address. */
const NEEDED = KINDS.filter((kind) => !/systemd|^IPv/.test(kind));

test("machines of a kind are restored as the first one was, each with its own identity", async () => {
  const names = ["one", "two", "three", "four", "five", "six"];
  const made = async (name: string) => {
    const disk = name === "three" ? ["--disk", "1G"] : [];
    const { vm, stderr } = await create(name, "-e", `WHO=${name}`, ...disk);
    expect(stderr.includes(`Booting ${name}`)).toBe(name === "one");
    expect(stderr).toContain(`Restoring ${name}`);
    return { vm, identity: await identityOf(banger, name) };
  };
  const [first, ...others] = names;
  const all = [await made(first ?? ""), ...(await Promise.all(others.map(made)))];
  const template = all[0]?.vm.template;
  expect(template).toMatch(/^[0-9a-f]{64}$/);
  expect(all.map(({ vm }) => vm.template)).toEqual(all.map(() => template));
  const identities = all.map(({ identity }) => identity);
  expect(clashes(identities, { needed: NEEDED, isUserNetwork: true })).toEqual([]);
  for (const { vm, identity } of all) {
    expect(identity).toMatchObject({
      hostname: vm.name,
      "/etc/hostname": vm.name,
      "/etc/hosts": vm.name,
      "hardware address": vm.network.mac ?? "no address",
    });
  }
  for (const name of names.slice(0, 3)) {
    const said = await inside(name, "echo $WHO; ls /mine 2>&1; date +%s");
    expect(said).toMatch(new RegExp(`^${name}\n.*No such file.*\n\\d+`));
    const drift_s = Number(said.trim().split("\n").at(-1)) - Date.now() / 1000;
    expect(Math.abs(drift_s)).toBeLessThan(600);
    await inside(name, "echo mine > /mine; sync");
  }
  // A larger disk has the same template, and its file system grows.
  expect(await size_kib("two")).toBeLessThan(64 * 1024);
  expect(await size_kib("three")).toBeGreaterThan(900 * 1024);
  await inside("three", "dd if=/dev/zero of=/big bs=1M count=100; sync");
  const { stderr } = await banger.call(["vm", "logs", "--console", "two"]);
  expect(stderr).toContain("restored from a template");
  await banger.ok("vm", "restart", "one");
  expect(await inside("one", "cat /mine")).toBe("mine");
  expect((await banger.json<Vm>("vm", "show", "one")).template).toBeUndefined();
  await banger.ok("vm", "rm", "--force", ...names);
});

test("a damaged template is replaced, one that does not load is dropped with a word", async () => {
  const { vm } = await create("before");
  await banger.ok("vm", "rm", "--force", "before");
  writeFileSync(join(template(), "state"), "");
  const after = await create("after");
  expect(after.stderr).toContain("Booting after");
  expect(after.vm.template).toBe(vm.template as string);
  await banger.ok("vm", "rm", "--force", "after");
  const state = readFileSync(join(template(), "state"));
  const record = join(template(), "template.json");
  writeFileSync(join(template(), "state"), state.subarray(0, 1000));
  const stateDigest = sha256(state.subarray(0, 1000));
  writeFileSync(
    record,
    JSON.stringify({ ...JSON.parse(readFileSync(record, "utf8")), stateDigest }),
  );
  const cold = await create("cold");
  expect(cold.stderr).toMatch(/warning: Cannot restore from the template.*\n/);
  expect(cold.vm.template).toBeUndefined();
  expect(await inside("cold", "hostname")).toBe("cold");
  expect(readdirSync(templates())).toEqual([]);
  await banger.ok("vm", "rm", "--force", "cold");
});

test("a daemon that starts while a process in the foreground makes a template leaves that alone", async () => {
  await banger.ok("image", "gc", "--all");
  await banger.ok("daemon", "stop");
  const args = ["vm", "run", "--foreground", "--name", "front", "--mode", "direct"];
  const kind = ["--memory", "160M", "--disk", "48M", "--net", "none"];
  const child = banger.spawn([...args, ...kind, "busybox", "--", "sleep", "1000"]);
  const find = (pattern: RegExp) =>
    banger.processes().find(({ command }) => pattern.test(command))?.pid;
  while (!find(/^\S*qemu\S* -name/)) await Bun.sleep(20);
  const maker = find(/^\S*qemu\S* -name/);
  const [vm] = await banger.json<Vm[]>("vm", "list");
  expect(vm?.state).toBe("starting");
  await banger.ok("repair");
  expect(find(/^\S*qemu\S* -name/)).toBe(maker as number);
  while ((await banger.json<Vm>("vm", "show", "front")).state === "starting") await Bun.sleep(100);
  expect((await banger.json<Vm>("vm", "show", "front")).template).toBeDefined();
  expect(readdirSync(templates())).toHaveLength(1);
  // A smaller disk than that of the others has a template of its own.
  expect(statSync(join(template(), "disk.ext4")).size).toBe(48 * MiB);
  await banger.ok("vm", "rm", "--force", "front");
  await child.exited;
});

test("a daemon that is killed while it makes a template leaves nothing of it", async () => {
  await banger.ok("image", "gc", "--all");
  const child = banger.spawn(["vm", "create", "--name", "lost", ...KIND, "--net", "none"]);
  const find = (pattern: RegExp) =>
    banger.processes().find(({ command }) => pattern.test(command))?.pid;
  while (!find(/^\S*qemu/)) await Bun.sleep(20);
  killPid(find(/daemon run/));
  await child.exited;
  expect(await banger.ok("vm", "list", "-q")).toBe("");
  while (find(/^\S*qemu/)) await Bun.sleep(50);
  expect(readdirSync(templates())).toEqual([]);
});

test("volumes outlive machines, which are restored with theirs, and set up as docker's options say", async () => {
  const volume = ["-v", "data:/home", "--net", "none"];
  const limits = ["--tmpfs", "/scratch:size=2M", "--shm-size", "3M", "--swap", "8M", "--read-only"];
  const own = ["--ulimit", "nofile=100:200", "--sysctl", "net.core.somaxconn=77"];
  const writer = await create("writer", ...volume, ...limits, ...own);
  expect(writer.vm.template).toBeDefined();
  const script = [
    "ls -ld /home/bob | awk '{ print $1, $3 }'",
    "ulimit -n; ulimit -Hn; cat /proc/sys/net/core/somaxconn",
    "df -k /scratch /dev/shm | awk '/tmpfs/ { print $2 }'",
    "awk '/swap/ { print $3 }' /proc/swaps",
    "touch /mine 2>/dev/null || echo read-only",
    "echo kept > /home/kept; ls /home",
  ];
  // What the image has at that place is in the new volume, with its owner.
  const said = await inside("writer", script.join("\n"));
  expect(said.split("\n")).toEqual([
    ...["drwxr-xr-x bob", "100", "200", "77", "2048", "3072", "8188", "read-only", "bob", "kept"],
  ]);
  const denied = await banger.call(["vm", "create", "--name", "reader", ...KIND, ...volume]);
  expect(denied.stderr).toContain('volume "data" is in use by machine "writer", which is running');
  expect((await banger.call(["volume", "rm", "data"])).stderr).toContain("in use by writer");
  for (const verb of ["fork", "snapshot create"]) {
    const { stderr } = await banger.call(["vm", ...verb.split(" "), "writer"]);
    expect(stderr).toContain('it mounts volume "data"');
  }
  await banger.ok("vm", "suspend", "writer");
  expect(await inside("writer", "cat /home/kept")).toBe("kept");
  await banger.ok("vm", "rm", "--force", "writer");
  const next = await create("next", ...volume);
  expect(next.stderr).not.toContain("Booting");
  expect(await inside("next", "cat /home/kept; touch /mine && echo writable")).toBe(
    "kept\nwritable",
  );
  await banger.ok("vm", "rm", "--force", "next");
  await banger.ok("volume", "rm", "data");
  expect(await banger.ok("volume", "list", "-q")).toBe("");
});

test("templates are counted and freed, and none is made where that is turned off", async () => {
  const { vm } = await create("kept", "--net", "none");
  expect(vm.template).toBeDefined();
  const usage = await banger.json<ImageUsage>("image", "du");
  expect(usage.templates_bytes).toBeGreaterThan(10_000_000);
  const gone = await banger.json<ImageGcResult>("image", "gc", "--all");
  expect(gone.templates).toBe(2); // One of them has the volumes.
  expect(gone.freed_bytes).toBeGreaterThanOrEqual(usage.templates_bytes);
  const source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
  const clock = kvmState().usable ? "kvm-clock" : "tsc";
  expect(await inside("kept", `cat /etc/hostname ${source}`)).toBe(`kept\n${clock}`);
  await banger.ok("vm", "rm", "--force", "kept");
  await banger.ok("daemon", "stop");
  const off = { BANGER_VM_TEMPLATES: "off" };
  const args = ["vm", "create", "--name", "off", ...KIND, "--net", "none", "--json"];
  const { status, stdout } = await banger.call(args, { env: off });
  expect(status).toBe(0);
  expect((JSON.parse(stdout) as Vm).template).toBeUndefined();
  expect(readdirSync(templates())).toEqual([]);
  await banger.ok("daemon", "stop");
  rmSync(templates(), { recursive: true });
  writeFileSync(templates(), "no directory");
  expect((await banger.json<Vm[]>("vm", "list"))[0]?.name).toBe("off");
});
