/** A machine as an ordinary process: alone, beside a daemon, and under s6 as a real service manager. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { listenForNotices } from "#test/notify-listener.ts";

const SMALL = ["--net", "none", "--memory", "256M"];

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
  const machine = ["--image", "busybox", "--mode", "direct", ...SMALL];
  await banger.ok("vm", "create", "--name", "web", "--no-start", ...machine);
  await banger.ok("daemon", "stop");
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

describe("a command in the foreground", () => {
  test("has its streams and status, starts no daemon, and leaves nothing", async () => {
    const script = 'read line; echo "got $line"; echo aside >&2; exit 42';
    const run = ["vm", "run", "--foreground", "-i", ...SMALL, "busybox", "--", "sh", "-c", script];
    const { status, stdout, stderr } = await banger.call(run, { stdin: "words\n" });
    expect(stdout).toBe("got words\n");
    expect(status).toBe(42);
    const lines = stderr.trim().split("\n");
    expect(lines).toContain("aside");
    const logged = lines.filter((line) => line !== "aside").map((line) => JSON.parse(line));
    expect(logged.map(({ message }) => String(message))).toContainEqual(
      expect.stringContaining("Booting"),
    );
    expect((await banger.call(["daemon", "status"])).status).toBe(7);
    expect(banger.processes()).toEqual([]);
    expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual(["web"]);
    await banger.ok("daemon", "stop");
  });

  test("gets SIGTERM, and its end is the process's", async () => {
    const script = 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done';
    const run = ["vm", "run", "--foreground", ...SMALL, "busybox", "--", "sh", "-c", script];
    const child = banger.spawn(run);
    let text = "";
    for await (const chunk of child.stdout) {
      text += new TextDecoder().decode(chunk);
      if (text === "up\n") child.kill("SIGTERM");
    }
    expect(text).toBe("up\nbye\n");
    expect(await child.exited).toBe(3);
  });
});

test("a command that does not heed SIGTERM is ended by the second one", async () => {
  const script = "trap : TERM; echo up; while :; do sleep 0.1; done";
  const child = banger.spawn([
    ...["vm", "run", "--foreground", ...SMALL, "busybox", "--", "sh", "-c", script],
  ]);
  let text = "";
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    if (text !== "up\n") continue;
    child.kill("SIGTERM");
    child.kill("SIGTERM");
    // Two that come at once can be one.
    setTimeout(() => child.kill("SIGTERM"), 500);
  }
  expect(await child.exited).toBe(128 + 15);
  expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual(["web"]);
});

test("a command whose process was killed can be run again under its name", async () => {
  const run = ["vm", "run", "--foreground", "--name", "job", ...SMALL, "busybox", "--"];
  const child = banger.spawn([...run, "sh", "-c", "echo up; sleep 1000"]);
  for await (const _ of child.stdout) child.kill("SIGKILL");
  await child.exited;
  const { status, stdout, stderr } = await banger.call([...run, "echo", "again"]);
  expect({ status, stdout, stderr }).toMatchObject({ status: 0, stdout: "again\n" });
  expect((await banger.json<Vm[]>("vm", "list")).map(({ name }) => name)).toEqual(["web"]);
});

describe("a machine in the foreground", () => {
  test("says when it is ready, is left alone by a daemon, and powers off at SIGTERM", async () => {
    using notices = listenForNotices(banger.home);
    const child = foreground({ NOTIFY_SOCKET: notices.path });
    await notices.heard("READY=1");
    await banger.ok("daemon", "start");
    expect(await show()).toMatchObject({ state: "running", foreground: { pid: child.pid } });
    expect(JSON.parse(await banger.ok("repair", "--json"))).toEqual([]);
    const inside = ["vm", "exec", "-i", "web", "--", "sh", "-c", "cat; exit 5"];
    expect(await banger.call(inside, { stdin: "through it\n" })).toMatchObject({
      status: 5,
      stdout: "through it\n",
    });
    const evil = String.raw`printf '\033]52;c;ZXZpbA==\007shown\233\n' > /dev/console`;
    await banger.ok("vm", "exec", "web", "--", "sh", "-c", evil);
    // It runs already, which is what was asked for.
    expect(await banger.ok("vm", "start", "web")).toBe("web\n");
    const before = await show();
    expect(await banger.ok("vm", "restart", "web")).toBe("web\n");
    const { state, foreground: front, startedAt } = await show();
    expect({ state, front }).toEqual({ state: "running", front: { pid: child.pid } });
    expect(startedAt).not.toBe(before.startedAt);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    await notices.heard("STOPPING=1");
    const printed = await new Response(child.stdout).text();
    expect(printed).toContain("shown");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal
    expect(printed).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(await show()).toMatchObject({ state: "stopped", exit: { reason: "poweroff" } });
    expect((await show()).foreground).toBeUndefined();
  });

  test("ends with its process, however that ends, and the next start gives back what is left", async () => {
    using notices = listenForNotices(join(banger.home, "run"));
    const child = foreground({ NOTIFY_SOCKET: notices.path });
    await notices.heard("READY=1");
    const monitor = (await show()).vmm?.pid ?? 0;
    child.kill("SIGKILL");
    await child.exited;
    while (processRuns(monitor)) await Bun.sleep(20);
    using again = listenForNotices(join(banger.home, "cache"));
    const second = foreground({ NOTIFY_SOCKET: again.path });
    await again.heard("READY=1");
    // Stopped from outside, through its process.
    await banger.ok("vm", "stop", "web");
    expect(await second.exited).toBe(0);
    expect((await show()).state).toBe("stopped");
  });

  test("that panics says so, with a status that is a failure", async () => {
    using notices = listenForNotices(join(banger.home, "config"));
    const child = foreground({ NOTIFY_SOCKET: notices.path });
    await notices.heard("READY=1");
    const monitor = (await show()).vmm?.pid ?? 0;
    process.kill(monitor, "SIGKILL");
    const stderr = await new Response(child.stderr).text();
    expect(await child.exited).toBe(125);
    expect(stderr).toMatch(/error: machine "web" (crashed|was killed) while it ran/);
  });
});

testNeeding("s6-supervise")(
  "under s6 it is up, comes back when it is killed, and goes down when it is told to",
  async () => {
    const service = join(banger.home, "services/web");
    mkdirSync(service, { recursive: true });
    cpSync(join(import.meta.dir, "../../recipes/supervise/s6/run"), join(service, "run"));
    chmodSync(join(service, "run"), 0o755);
    writeFileSync(join(service, "timeout-kill"), "60000");
    const supervisor = Bun.spawn(["s6-supervise", service], {
      cwd: service,
      env: banger.env,
      stdin: "ignore",
      stdout: Bun.file(join(service, "output")),
      stderr: "inherit",
    });
    try {
      const first = await untilUp(undefined);
      process.kill(first, "SIGKILL");
      const second = await untilUp(first);
      expect(second).not.toBe(first);
      expect(Bun.spawnSync(["s6-svc", "-wD", "-d", service]).exitCode).toBe(0);
      expect(await show()).toMatchObject({ state: "stopped", exit: { reason: "poweroff" } });
      expect(readFileSync(join(service, "output"), "utf8")).toContain("Booting web");
    } finally {
      Bun.spawnSync(["s6-svc", "-xd", service]);
      await supervisor.exited;
    }
  },
);

/** The process that has the machine up, another one than before. */
async function untilUp(before: number | undefined): Promise<number> {
  for (;;) {
    const { state, foreground } = await show();
    if (state === "running" && foreground && foreground.pid !== before) return foreground.pid;
    await Bun.sleep(100);
  }
}

function foreground(env: Record<string, string>) {
  return Bun.spawn([join(banger.home, "bin/banger"), "vm", "run", "--foreground", "web"], {
    cwd: banger.home,
    env: { ...banger.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function show(): Promise<Vm> {
  return await banger.json<Vm>("vm", "show", "web");
}

function processRuns(pid: number): boolean {
  return banger.processes().some((each) => each.pid === pid);
}
