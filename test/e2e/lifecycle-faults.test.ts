/** Trouble from outside while a machine runs: what the user sees, and that all of it can be ended and begun again. */

import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";

const KERNEL = "debian-6.12";
const DIRECT = ["--image", "busybox", "--mode", "direct", "--memory", "256M"];

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await banger.ok("kernel", "pull", KERNEL);
  await busyboxLayout(join(banger.home, "busybox"));
  const source = `oci:${banger.home}/busybox`;
  await banger.ok("image", "pull", source, "--name", "busybox", "--kernel-ref", KERNEL);
}, 300_000);

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
}, 120_000);

describe("a machine", () => {
  test("whose guest is silent does not hold up the others, and is ended by stop", async () => {
    await banger.ok("vm", "create", "--name", "silent", "--net", "none", ...DIRECT);
    process.kill(await pidOf("silent"), "SIGSTOP");
    expect(await banger.ok("vm", "list", "-q")).toBe("silent\n");
    await banger.ok("vm", "stop", "--grace", "100ms", "silent");
    expect(await show("silent")).toMatchObject({ state: "stopped", exit: { reason: "killed" } });
    await banger.ok("vm", "rm", "silent");
  }, 120_000);

  test("whose stop is called off by ^C runs on, and can be stopped again", async () => {
    await banger.ok("vm", "create", "--name", "kept", "--net", "none", ...DIRECT);
    const pid = await pidOf("kept");
    process.kill(pid, "SIGSTOP");
    const child = banger.spawn(["vm", "stop", "--grace", "10m", "kept"]);
    await until("kept", ({ state }) => state === "stopping");
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    await until("kept", ({ state }) => state === "running");
    await banger.ok("vm", "kill", "kept");
    await banger.ok("vm", "rm", "kept");
  }, 120_000);

  test("whose monitor is killed is stopped, with the reason", async () => {
    await banger.ok("vm", "create", "--name", "shot", "--net", "none", ...DIRECT);
    process.kill(await pidOf("shot"), "SIGKILL");
    await banger.ok("vm", "wait", "shot");
    expect((await show("shot")).exit?.reason).toMatch(/^(crashed|killed)$/);
    const { stderr } = await banger.call(["vm", "exec", "shot", "--", "true"]);
    expect(stderr).toContain("banger vm start shot");
    await banger.ok("vm", "rm", "shot");
  }, 120_000);

  testNeeding("root")(
    "whose tap was removed runs on, and has one again after a restart",
    async () => {
      await banger.ok("vm", "create", "--name", "cut", "--nat", ...DIRECT);
      const bridge = banger.home.slice("/tmp/".length);
      const [tap = ""] = readdirSync(`/sys/class/net/${bridge}/brif`);
      expect(Bun.spawnSync(["ip", "link", "del", tap]).exitCode).toBe(0);
      expect(await banger.ok("vm", "exec", "cut", "--", "echo", "alive")).toBe("alive\n");
      await banger.ok("vm", "restart", "cut");
      expect(readdirSync(`/sys/class/net/${bridge}/brif`)).toEqual([tap]);
      await banger.ok("vm", "rm", "--force", "cut");
    },
    120_000,
  );
});

describe("the store", () => {
  test("that is damaged is named, with what to do, and left alone", async () => {
    await banger.ok("daemon", "stop");
    const path = join(banger.home, "state/banger/banger.db");
    const kept = readFileSync(path);
    writeFileSync(path, "this is no database, and it is long enough for one".repeat(200));
    try {
      const { status, stderr } = await banger.call(["vm", "list"]);
      expect(stderr).toContain(`Cannot open the store ${path}`);
      expect(status).not.toBe(0);
      expect(readFileSync(path, "utf8")).toStartWith("this is no database");
    } finally {
      writeFileSync(path, kept);
    }
    expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
  }, 60_000);

  test("that a newer banger wrote is refused", async () => {
    await banger.ok("daemon", "stop");
    const db = new Database(join(banger.home, "state/banger/banger.db"));
    const { user_version } = db.query("PRAGMA user_version").get() as { user_version: number };
    db.run("PRAGMA user_version = 999");
    const { stderr } = await banger.call(["vm", "list"]);
    expect(stderr).toContain("it has version 999");
    db.run(`PRAGMA user_version = ${user_version}`);
    db.close();
    expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
  }, 60_000);
});

describe("what is on disk", () => {
  test("is nobody else's", async () => {
    await banger.ok("vm", "create", "--name", "own", "--net", "none", ...DIRECT);
    const roots = ["state", "cache", "run", "config"].map((root) =>
      join(banger.home, root, "banger"),
    );
    for (const root of roots.filter((each) => !each.includes("config"))) {
      expect(`${root} ${(statSync(root).mode & 0o777).toString(8)}`).toBe(`${root} 700`);
    }
    const { id } = await show("own");
    for (const folder of [join(roots[0] ?? "", "vms", id), join(roots[2] ?? "", "vm", id)]) {
      for (const name of readdirSync(folder)) {
        const path = join(folder, name);
        if (statSync(path).isFile()) {
          expect(`${path} ${(statSync(path).mode & 0o077).toString(8)}`).toBe(`${path} 0`);
        }
      }
    }
    await banger.ok("vm", "rm", "--force", "own");
  }, 60_000);

  test("variables are in no argument of any process", async () => {
    const create = ["vm", "create", "--name", "secret", "-e", "PASS=hush-hush", "--net", "none"];
    await banger.ok(...create, ...DIRECT);
    const seen = banger.processes().map(({ command }) => command);
    expect(seen.join("\n")).not.toContain("hush-hush");
    expect(await banger.ok("vm", "show", "secret", "--json")).not.toContain("hush-hush");
    await banger.ok("vm", "rm", "--force", "secret");
    const log = readFileSync(join(banger.home, "state/banger/daemon.log"), "utf8");
    expect(log).not.toContain("hush-hush");
  }, 60_000);
});

async function show(name: string): Promise<Vm> {
  return await banger.json<Vm>("vm", "show", name);
}

async function until(name: string, isSo: (vm: Vm) => boolean): Promise<void> {
  while (!isSo(await show(name))) await Bun.sleep(50);
}

async function pidOf(name: string): Promise<number> {
  const { vmm } = await show(name);
  if (!vmm) throw new Error(`${name} has no process`);
  return vmm.pid;
}
