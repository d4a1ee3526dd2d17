/** Trouble from outside while a machine runs: what the user sees, and that all of it can be ended and begun again. */

import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, readdirSync, readFileSync, type Stats, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Vm } from "#api/vm.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { JAIL_GID } from "#vmm/jail/user.ts";

const DIRECT = ["--image", "busybox", "--mode", "direct", "--memory", "256M"];

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

describe("a machine", () => {
  test("whose guest is silent does not hold up the others, and is ended by stop", async () => {
    await banger.ok("vm", "create", "--name", "silent", "--net", "none", ...DIRECT);
    process.kill(await pidOf("silent"), "SIGSTOP");
    expect(await banger.ok("vm", "list", "-q")).toBe("silent\n");
    await banger.ok("vm", "stop", "--grace", "100ms", "silent");
    expect(await show("silent")).toMatchObject({ state: "stopped", exit: { reason: "killed" } });
    await banger.ok("vm", "rm", "silent");
  });

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
  });

  test("whose monitor is killed is stopped, with the reason", async () => {
    await banger.ok("vm", "create", "--name", "shot", "--net", "none", ...DIRECT);
    process.kill(await pidOf("shot"), "SIGKILL");
    await banger.ok("vm", "wait", "shot");
    expect((await show("shot")).exit?.reason).toMatch(/^(crashed|killed)$/);
    const { stderr } = await banger.call(["vm", "exec", "shot", "--", "true"]);
    expect(stderr).toContain("banger vm start shot");
    await banger.ok("vm", "rm", "shot");
  });

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
  );
});

describe("a machine", () => {
  test("whose guest panics is stopped, with the kernel's last words", async () => {
    await banger.ok("vm", "create", "--name", "fell", "--net", "none", ...DIRECT);
    const crash = ["vm", "exec", "fell", "--", "sh", "-c", "echo c > /proc/sysrq-trigger"];
    const { status, stderr } = await banger.call(crash);
    expect(status).toBe(125);
    expect(stderr).toContain('machine "fell" panicked while it ran the command');
    expect((await show("fell")).exit).toMatchObject({
      reason: "panic",
      detail: expect.stringContaining("sysrq"),
    });
    await banger.ok("vm", "rm", "fell");
  });

  test("that was made and started by a clock that was ahead is started again all the same", async () => {
    await banger.ok(
      ...["vm", "create", "--name", "ahead", "--net", "none", "--restart", "on-failure"],
      ...DIRECT,
    );
    await banger.ok("daemon", "stop");
    const db = new Database(join(banger.home, "state/banger/banger.db"));
    const later = "2199-01-01T00:00:00.000Z";
    db.query("UPDATE vms SET created_at = $later, started_at = $later").run({ $later: later });
    db.close();
    expect(await banger.ok("vm", "list")).toMatch(/ahead .* now$/m);
    process.kill(await pidOf("ahead"), "SIGKILL");
    await until("ahead", ({ state, startedAt }) => state === "running" && startedAt !== later);
    await banger.ok("vm", "rm", "--force", "ahead");
  });
});

describe("the host", () => {
  testNeeding("root")(
    "whose disk is full refuses a machine, and nothing of it is left",
    async () => {
      const vms = join(banger.home, "state/banger/vms");
      mount("-t", "tmpfs", "-o", "size=8m", "none", vms);
      try {
        const create = ["vm", "create", "--name", "full", "--net", "none", ...DIRECT];
        const little = await banger.call(create);
        expect(little.stderr).toMatch(/[78](\.\d)? MiB free, 64 MiB needed/);
        expect(little.status).toBe(16);
        Bun.spawnSync(["dd", "if=/dev/zero", `of=${vms}/fill`, "bs=64k"]);
        const none = await banger.call([...create, "--no-start"]);
        expect(none.stderr).toContain("error: no space left on the host's disk");
        expect(none.status).toBe(16);
        expect(readdirSync(vms)).toEqual(["fill"]);
        expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
      } finally {
        unmount(vms);
      }
    },
  );

  testNeeding("root")(
    "whose state folder is read-only says so, and is served again when it is not",
    async () => {
      await banger.ok("daemon", "stop");
      const state = join(banger.home, "state/banger");
      mount("--bind", state, state);
      mount("-o", "remount,bind,ro", state);
      try {
        const { status, stderr } = await banger.call(["vm", "list"]);
        expect(stderr).toContain("read-only file system");
        expect(status).toBe(9);
      } finally {
        unmount(state);
      }
      expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
    },
  );
});

function readColumn(path: string, id: string): { config: string } {
  const db = new Database(path, { readonly: true });
  const row = db
    .query<{ config: string }, [string]>("SELECT config FROM images WHERE id = ?")
    .get(id);
  db.close();
  return row ?? { config: "" };
}

describe("a second daemon", () => {
  test("is told which one runs, and changes nothing", async () => {
    await banger.ok("vm", "list");
    const { status, stderr } = await banger.call(["daemon", "run"]);
    const { pid } = await banger.json<{ pid: number }>("daemon", "status");
    expect(stderr).toContain(`already running (PID ${pid})`);
    expect(status).toBe(13);
  });
});

describe("the store", () => {
  test("that another program has locked is named; what only reads goes on", async () => {
    const db = new Database(join(banger.home, "state/banger/banger.db"));
    db.run("BEGIN IMMEDIATE");
    try {
      const create = ["vm", "create", "--name", "shut", "--net", "none", "--no-start", ...DIRECT];
      const { status, stderr } = await banger.call(create);
      expect(stderr).toContain("database is locked by another process");
      expect(status).toBe(7);
      expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
    } finally {
      db.run("ROLLBACK");
      db.close();
    }
  });

  test("with records that cannot be read names them, and has all others", async () => {
    for (const name of ["good", "bad", "kept"]) {
      await banger.ok("vm", "create", "--name", name, "--net", "none", "--no-start", ...DIRECT);
    }
    const path = join(banger.home, "state/banger/banger.db");
    const change = (statement: string): void => {
      const db = new Database(path);
      db.run(statement);
      db.close();
    };
    change("UPDATE vms SET spec = '{\"mode\":' WHERE name IN ('bad', 'kept')");
    const { id } = await banger.json<Vm>("vm", "show", "good");
    expect(await banger.json<Vm[]>("vm", "list")).toMatchObject([{ name: "good" }]);
    const show = await banger.call(["vm", "show", "bad"]);
    expect(show.stderr).toContain('Cannot read the record of machine "bad": spec: not valid JSON');
    expect(show.stderr).toContain("banger vm rm --force bad");
    expect(show.status).toBe(12);
    expect((await banger.call(["vm", "start", "kept"])).status).toBe(12);
    const doctor = await banger.call(["doctor"]);
    expect(doctor.stdout).toContain('machine "bad"');
    expect(doctor.status).toBe(1);
    // The next daemon takes them for nobody's leftovers as little.
    await banger.ok("daemon", "restart");
    await banger.ok("repair");
    expect(readdirSync(join(banger.home, "state/banger/vms"))).toHaveLength(3);
    await banger.ok("vm", "rm", "bad");
    await banger.ok("vm", "rm", "--force", "kept");
    expect(readdirSync(join(banger.home, "state/banger/vms"))).toEqual([id]);

    const [image] = await banger.json<{ id: string; name: string }[]>("image", "list");
    const { config } = readColumn(path, image?.id ?? "");
    change("UPDATE images SET config = '[]'");
    expect(await banger.json<unknown[]>("image", "list")).toEqual([]);
    expect(await banger.json<Vm[]>("vm", "list")).toMatchObject([{ name: "good" }]);
    const start = await banger.call(["vm", "start", "good"]);
    expect(start.stderr).toContain(`Cannot read the record of image "${image?.name}": config`);
    await banger.ok("image", "gc");
    const rm = await banger.call(["image", "rm", image?.name ?? ""]);
    expect(rm.stderr).toContain("in use by good");
    change(`UPDATE images SET config = '${config}'`);
    await banger.ok("vm", "rm", "good");
  });

  test("that is damaged is named, with what to do, and left alone", async () => {
    await banger.ok("daemon", "stop");
    const path = join(banger.home, "state/banger/banger.db");
    const kept = readFileSync(path);
    writeFileSync(path, "this is no database, and it is long enough for one".repeat(200));
    try {
      const { status, stderr } = await banger.call(["vm", "list"]);
      expect(stderr).toContain(`Cannot open the database ${path}`);
      expect(status).not.toBe(0);
      expect(readFileSync(path, "utf8")).toStartWith("this is no database");
    } finally {
      writeFileSync(path, kept);
    }
    expect(await banger.json<Vm[]>("vm", "list")).toEqual([]);
  });

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
  });
});

/** Nobody is in the group of the jails but the monitors of machines. */
function isOthers({ mode, gid }: Stats): boolean {
  return (mode & (gid === JAIL_GID ? 0o007 : 0o077)) !== 0;
}

describe("what is on disk", () => {
  test("is nobody else's", async () => {
    await banger.ok("vm", "create", "--name", "own", "--net", "none", ...DIRECT);
    const roots = ["state", "cache", "run"].map((root) => join(banger.home, root, "banger"));
    for (const root of roots) {
      expect(`${root} ${(statSync(root).mode & 0o777).toString(8)}`).toBe(`${root} 700`);
    }
    // Kernels and what they are fetched as are anybody's; all the rest, sockets among it, is not.
    const open = [...roots, join(banger.home, "config/banger/ssh")]
      .flatMap((root) =>
        (readdirSync(root, { recursive: true }) as string[]).map((path) => join(root, path)),
      )
      // A machine's modules are a link to its kernel's.
      .filter((path) => !/\/(kernels|kernel-builds|downloads)\/|\/modules\.ext4$/.test(path))
      .filter((path) => !path.endsWith(".pub") && isOthers(lstatSync(path)));
    expect(open).toEqual([]);
    const socket = join(banger.home, "run/banger/daemon.sock");
    expect((statSync(socket).mode & 0o777).toString(8)).toBe("600");
    await banger.ok("vm", "rm", "--force", "own");
  });

  test("variables are in no argument of any process", async () => {
    const create = ["vm", "create", "--name", "secret", "-e", "PASS=hush-hush", "--net", "none"];
    await banger.ok(...create, ...DIRECT);
    const seen = banger.processes().map(({ command }) => command);
    expect(seen.join("\n")).not.toContain("hush-hush");
    expect(await banger.ok("vm", "show", "secret", "--json")).not.toContain("hush-hush");
    await banger.ok("vm", "rm", "--force", "secret");
    const log = readFileSync(join(banger.home, "state/banger/daemon.log"), "utf8");
    expect(log).not.toContain("hush-hush");
  });
});

function mount(...args: string[]): void {
  expect(Bun.spawnSync(["mount", ...args]).exitCode).toBe(0);
}

function unmount(path: string): void {
  expect(Bun.spawnSync(["umount", "--lazy", path]).exitCode).toBe(0);
}

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
