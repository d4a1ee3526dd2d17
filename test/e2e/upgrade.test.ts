/** Another banger takes over under a running machine: killed, restarted, newer, older, and back again. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DaemonStatus } from "#api/system.ts";
import type { Vm } from "#api/vm.ts";
import { migrations } from "#store/migrations.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { makeNewerBanger, NEWER_VERSION } from "#test/newer-banger.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

let banger: Installation;
let newer: string[];

beforeAll(async () => {
  banger = install();
  mkdirSync(join(banger.home, "newer"));
  newer = makeNewerBanger(join(banger.home, "newer"));
  await pullBusybox(banger);
  const machine = ["--image", "busybox", "--mode", "direct", "--net", "none", "--memory", "256M"];
  const port = ["--publish", "127.0.0.1:0:8080"];
  await banger.ok("vm", "create", "--name", "steady", ...port, ...machine);
  const serve =
    "mkdir /tmp/www; echo kept > /tmp/note; echo served > /tmp/www/page; httpd -p 8080 -h /tmp/www";
  await banger.ok("vm", "exec", "steady", "--", "sh", "-c", serve);
});

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
});

test("a newer banger says that the daemon is older, and takes the machines over after a restart", async () => {
  await answers();
  const before = await show();
  const { stderr } = await callNewer("vm", "list");
  expect(stderr).toMatch(/the daemon is banger .+, this is 999\.0\.0 .+banger daemon restart/);
  expect((await callNewer("daemon", "restart")).status).toBe(0);
  expect((await banger.json<DaemonStatus>("daemon", "status")).version).toBe(NEWER_VERSION);
  expect(await show()).toEqual(before);
  await answers();
});

test("it has kept the store as it was, for the owner alone", () => {
  const kept = new Database(backup(), { readonly: true });
  expect(kept.query("PRAGMA user_version").get()).toEqual({ user_version: migrations.length });
  expect(kept.query("SELECT name FROM vms").all()).toEqual([{ name: "steady" }]);
  kept.close();
  expect(statSync(backup()).mode & 0o777).toBe(0o600);
});

test("the older banger refuses the newer store and changes nothing; the machine goes on", async () => {
  const { vmm } = await show();
  await banger.ok("daemon", "stop");
  const store = readFileSync(storePath());
  const { status, stderr } = await banger.call(["vm", "list"]);
  expect(status).not.toBe(0);
  expect(stderr).toContain(
    `it has version ${migrations.length + 1}, this banger knows ${migrations.length}`,
  );
  expect(stderr).toContain("Install the newer banger that wrote");
  expect(readFileSync(storePath()).equals(store)).toBe(true);
  expect(existsSync(`/proc/${vmm?.pid}`)).toBe(true);
});

test("the kept store leads back to the older banger, machine and all", async () => {
  for (const suffix of ["-wal", "-shm"]) rmSync(`${storePath()}${suffix}`, { force: true });
  renameSync(backup(), storePath());
  expect((await show()).state).toBe("running");
  await answers();
});

test("a daemon that is killed while a newer one waits to take its place loses nothing", async () => {
  const lock = join(banger.home, "state/banger/daemon.lock");
  process.kill(Number.parseInt(readFileSync(lock, "utf8"), 10), "SIGKILL");
  const both = await Promise.all([
    callNewer("vm", "list", "-q"),
    banger.call(["vm", "list", "-q"]),
  ]);
  // Whoever was first answers both: nobody reads a store that another one has changed meanwhile.
  expect(both.map(({ stdout }) => stdout)).toContain("steady\n");
  expect((await callNewer("vm", "exec", "steady", "--", "cat", "/tmp/note")).stdout).toBe("kept\n");
});

function storePath(): string {
  return join(banger.home, "state/banger/banger.db");
}

function backup(): string {
  return `${storePath()}.v${migrations.length}`;
}

async function show(): Promise<Vm> {
  return await banger.json<Vm>("vm", "show", "steady");
}

/** Through a command and through the published port, which stays the same one. */
async function answers(): Promise<void> {
  const [port] = (await show()).network.ports ?? [];
  const page = await fetch(`http://127.0.0.1:${port?.hostPort}/page`);
  expect(await page.text()).toBe("served\n");
  expect(await banger.ok("vm", "exec", "steady", "--", "cat", "/tmp/note")).toBe("kept\n");
}

async function callNewer(...args: string[]) {
  const child = Bun.spawn([...newer, ...args], {
    cwd: banger.home,
    env: { ...banger.env, BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, status };
}
