/** What becomes of machines when the daemon, their monitor or their time ends, and what a user sees of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonStatus, MachineEvent, RepairStep } from "#api/system.ts";
import type { Vm } from "#api/vm.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { killPid } from "#test/processes.ts";

const DIRECT = ["--image", "busybox", "--mode", "direct", "--net", "none", "--memory", "256M"];

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
  await banger.ok("vm", "create", "--name", "steady", ...DIRECT);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

describe("the daemon ends", () => {
  test("restart leaves machines running, and they answer the next daemon", async () => {
    await banger.ok("vm", "exec", "steady", "--", "sh", "-c", "echo kept > /tmp/note");
    const before = await show("steady");
    await banger.ok("daemon", "restart");
    expect(await show("steady")).toEqual(before);
    expect(await banger.ok("vm", "exec", "steady", "--", "cat", "/tmp/note")).toBe("kept\n");
  });

  test("a clock that is wrong is set without anybody's doing", async () => {
    await banger.ok("vm", "exec", "steady", "--", "date", "-s", "2001-01-01 00:00:00");
    const year = async () => Number(await banger.ok("vm", "exec", "steady", "--", "date", "+%Y"));
    while ((await year()) < new Date().getUTCFullYear()) await Bun.sleep(200);
  });

  test("a monitor that hangs does not delay the next daemon", async () => {
    const { vmm } = await show("steady");
    const pid = vmm?.pid ?? 0;
    await killDaemon();
    process.kill(pid, "SIGSTOP");
    try {
      const status = await banger.json<DaemonStatus>("daemon", "start");
      expect((await show("steady")).state).toBe("running");
      const log = readFileSync(join(banger.home, "state/banger/daemon.log"), "utf8");
      expect(log).toContain("listens on");
      expect(status.machinesRunning).toBe(1);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    expect(await banger.ok("vm", "exec", "steady", "--", "echo", "alive")).toBe("alive\n");
  });

  test("repair --dry-run says what is to be done, and repair does it", async () => {
    const stray = join(banger.home, "state/banger/vms/a00000000000");
    const notOurs = join(banger.home, "state/banger/vms/README");
    mkdirSync(stray);
    mkdirSync(notOurs);
    const wanted: RepairStep[] = [{ action: "clean", detail: `${stray} belongs to no machine` }];
    expect(await banger.json<RepairStep[]>("repair", "--dry-run")).toEqual(wanted);
    expect(existsSync(stray)).toBe(true);
    expect(await banger.json<RepairStep[]>("repair")).toEqual(wanted);
    expect(existsSync(stray)).toBe(false);
    expect(existsSync(notOurs)).toBe(true);
    expect(await banger.json<RepairStep[]>("repair")).toEqual([]);
    Bun.spawnSync(["rmdir", notOurs]);
  });

  test("a machine whose monitor ended meanwhile is found stopped", async () => {
    await banger.ok("vm", "create", "--name", "lost", ...DIRECT);
    const { vmm } = await show("lost");
    await killDaemon();
    killPid(vmm?.pid);
    expect(await show("lost")).toMatchObject({ state: "stopped", exit: { reason: "unknown" } });
    await banger.ok("vm", "start", "lost");
    await banger.ok("vm", "rm", "--force", "lost");
  });
});

describe("the guest ends", () => {
  test("it is started again when it reboots itself, and stays down when it powers off", async () => {
    await banger.ok("vm", "create", "--name", "own", ...DIRECT);
    const first = await show("own");
    expect((await inside("own", "reboot; sleep 1000")).stderr).toContain("rebooted while");
    await until("own", (vm) => vm.state === "running" && vm.startedAt !== first.startedAt);
    expect((await inside("own", "poweroff; sleep 1000")).stderr).toContain("powered off while");
    expect(await show("own")).toMatchObject({ state: "stopped", exit: { reason: "poweroff" } });
    await banger.ok("vm", "rm", "own");
  });

  test("a command's machine that reboots is not started again, and says so", async () => {
    const run = ["vm", "run", "--net", "none", "--memory", "256M", "busybox", "--"];
    const { status, stderr } = await banger.call([...run, "sh", "-c", "reboot -f; sleep 1000"]);
    expect(stderr).toMatch(/machine "[a-z-]+" rebooted while it ran the command/);
    expect(status).not.toBe(0);
    expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual(["steady"]);
  });
});

describe("a start", () => {
  test("of a machine that runs, or that another client starts, is a success", async () => {
    await banger.ok("vm", "create", "--name", "twice", "--no-start", ...DIRECT);
    const start = () => banger.call(["vm", "start", "twice"]);
    const statuses = (await Promise.all([start(), start()])).map(({ status }) => status);
    expect([...statuses, (await start()).status]).toEqual([0, 0, 0]);
    expect((await show("twice")).state).toBe("running");
    await banger.ok("vm", "rm", "--force", "twice");
  });

  test("is ended at once by stop, and leaves a machine that can be started", async () => {
    // Its guest is silent, so that its boot would go on until vm.boot_timeout.
    const creating = banger.call(["vm", "create", "--name", "booting", ...DIRECT]);
    const monitor = async () => {
      const vms = await banger.json<Vm[]>("vm", "list");
      return vms.find(({ name, state }) => name === "booting" && state === "starting")?.vmm;
    };
    let vmm = await monitor();
    for (; !vmm; vmm = await monitor()) await Bun.sleep(20);
    process.kill(vmm.pid, "SIGSTOP");
    const { status, stdout } = await banger.call(["vm", "stop", "--grace", "10m", "booting"]);
    expect([status, stdout]).toEqual([0, "booting\n"]);
    expect((await show("booting")).state).toBe("stopped");
    const created = await creating;
    expect(created.stderr).toContain('start of "booting" cancelled');
    await banger.ok("vm", "start", "booting");
    await banger.ok("vm", "rm", "--force", "booting");
  });
});

describe("policies", () => {
  test("--restart on-failure starts a machine again whose monitor was killed, and not one that was stopped", async () => {
    await banger.ok("vm", "create", "--name", "again", "--restart", "on-failure", ...DIRECT);
    const first = await show("again");
    killPid(first.vmm?.pid);
    const second = await until("again", (vm) => vm.startedAt !== first.startedAt);
    expect(second.vmm?.pid).not.toBe(first.vmm?.pid);
    await until("again", ({ state }) => state === "running");
    const reset = await inside("again", "echo b > /proc/sysrq-trigger; sleep 1000");
    expect(reset.stderr).toContain('machine "again" crashed while it ran the command');
    const third = await until("again", (vm) => vm.startedAt !== second.startedAt);
    expect(third.state).toBe("starting");
    await until("again", ({ state }) => state === "running");
    await banger.ok("vm", "kill", "again");
    await banger.ok("daemon", "restart");
    expect((await show("again")).state).toBe("stopped");
    await banger.ok("vm", "rm", "again");
  });

  test("--ttl removes a machine at its age, also one that a new daemon found", async () => {
    await banger.ok("vm", "create", "--name", "short", "--ttl", "5s", "--no-start", ...DIRECT);
    expect((await show("short")).expiresAt).toMatch(/^\d{4}-/);
    await banger.ok("daemon", "restart");
    await untilGone("short");
  });

  test("--idle-stop stops a machine that nobody uses, and no machine that runs a command", async () => {
    await banger.ok("vm", "create", "--name", "idle", "--idle-stop", "3s", ...DIRECT);
    expect((await show("idle")).idleStop_ms).toBe(3000);
    const used = ["vm", "exec", "idle", "--", "sh", "-c", "sleep 7; echo still here"];
    expect(await banger.ok(...used)).toBe("still here\n");
    const stopped = await until("idle", ({ state }) => state === "stopped");
    expect(stopped.exit?.reason).toBe("poweroff");
    await banger.ok("vm", "rm", "idle");
  });

  test("a machine with more processors or disk than there are is refused with the numbers", async () => {
    const args = ["vm", "create", "--name", "wide", "--image", "busybox", "--no-start"];
    const cpus = await banger.call([...args, "--cpus", "64"]);
    expect(cpus.stderr).toMatch(/it needs 64 CPUs, the host has \d+/);
    const disk = await banger.call([...args, "--disk", "16000G"]);
    expect(disk.stderr).toMatch(/its disk can grow to 16 TiB, the host's file system has .+/);
    expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual(["steady"]);
  });

  test("a machine that cannot fit is refused with the numbers, and is not made", async () => {
    const args = ["--name", "huge", "--image", "busybox", "--net", "none", "--memory", "900G"];
    const { status, stderr } = await banger.call(["vm", "create", ...args]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(
      /Cannot create the machine: it needs 900 GiB of memory, the host has .+ GiB/,
    );
    const set = await banger.call(["vm", "set", "steady", "--memory", "900G"]);
    expect(set.stderr).toMatch(/Cannot change "steady": it needs 900 GiB of memory, the host/);
    expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual(["steady"]);
  });

  test("a machine with less memory than its kernel takes is refused with the least that would do", async () => {
    const args = ["--name", "tight", "--image", "busybox", "--mode", "direct", "--net", "none"];
    const refused = await banger.call(["vm", "create", ...args, "--memory", "64M"]);
    const least = /does not fit in 64 MiB of memory, it needs at least (\d+) MiB/.exec(
      refused.stderr,
    )?.[1];
    expect(refused.stderr).not.toContain("template");
    await banger.ok("vm", "create", ...args, "--memory", `${least}M`);
    await banger.ok("vm", "rm", "--force", "tight");
  });

  test("prune removes stopped machines only, and only when that is meant", async () => {
    await banger.ok("vm", "create", "--name", "idle", "--no-start", ...DIRECT);
    const refused = await banger.call(["vm", "prune"]);
    expect(refused.stderr).toContain("idle");
    expect(refused.status).not.toBe(0);
    expect(await banger.ok("vm", "prune", "--force")).toBe("idle\n");
    expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual(["steady"]);
  });
});

describe("what can be watched", () => {
  test("events tells of each state, in order", async () => {
    const child = banger.spawn(["events", "--json"]);
    const seen: string[] = [];
    const reading = (async () => {
      let text = "";
      for await (const chunk of child.stdout) {
        text += new TextDecoder().decode(chunk);
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        const events = lines.map((line) => JSON.parse(line) as MachineEvent);
        seen.push(...events.filter(({ name }) => name === "seen").map(({ state }) => state));
        if (seen.includes("removed")) break;
      }
    })();
    // It is connected once it has been told of a machine.
    for (let at = 0; seen.length === 0 && at < 50; at++) {
      await banger.ok("vm", "create", "--name", "seen", "--no-start", ...DIRECT);
      await banger.ok("vm", "rm", "seen");
    }
    await reading;
    child.kill("SIGINT");
    await child.exited;
    expect(seen.slice(-2)).toEqual(["removing", "removed"]);
  });

  test("metrics are on the socket", async () => {
    const unix = join(banger.home, "run/banger/daemon.sock");
    const text = await (await fetch("http://localhost/metrics", { unix })).text();
    expect(text).toContain('banger_machines{state="running"} 1\n');
    expect(text).toMatch(/banger_calls_total\{procedure="vm.list",outcome="ok"\} \d+\n/);
  });

  test("debug bundle has logs and records, and no key and no variable", async () => {
    await banger.ok(
      "vm",
      "create",
      "--name",
      "told",
      "-e",
      "API=hush-hush",
      "--no-start",
      ...DIRECT,
    );
    const path = join(banger.home, "bundle.tar");
    expect(await banger.ok("debug", "bundle", "-o", path)).toBe(`${path}\n`);
    const text = readFileSync(path, "utf8");
    for (const part of ["doctor.json", "daemon.log", "vms/steady/console.log", "told"]) {
      expect(text).toContain(part);
    }
    expect(text).not.toContain("hush-hush");
    expect(text).not.toContain("PRIVATE KEY");
    const names = Bun.spawnSync(["tar", "-tf", path]).stdout.toString();
    expect(names).toContain("banger-debug/vms.json\n");
    await banger.ok("vm", "rm", "told");
  });
});

/** Runs a shell script in a machine, whatever becomes of it. */
async function inside(name: string, script: string) {
  return await banger.call(["vm", "exec", name, "--", "sh", "-c", script]);
}

async function show(name: string): Promise<Vm> {
  return await banger.json<Vm>("vm", "show", name);
}

async function until(name: string, isSo: (vm: Vm) => boolean): Promise<Vm> {
  for (;;) {
    const vm = await show(name);
    if (isSo(vm)) return vm;
    await Bun.sleep(100);
  }
}

async function untilGone(name: string): Promise<void> {
  while ((await banger.json<Vm[]>("vm", "list")).some((vm) => vm.name === name)) {
    await Bun.sleep(100);
  }
}

async function killDaemon(): Promise<void> {
  const lock = join(banger.home, "state/banger/daemon.lock");
  process.kill(Number.parseInt(readFileSync(lock, "utf8"), 10), "SIGKILL");
}
