/** `vm workspace sync` with a real machine: both ways, conflicts, many files, and a machine that is stopped meanwhile. */
import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pullBusybox } from "#test/busybox.ts";
import { TestRepository } from "#test/git-server.ts";
import { type Installation, install } from "#test/installation.ts";
import { testNeeding } from "#test/needs.ts";
import { until } from "#test/until.ts";

const machineTest = testNeeding("root");
const BURST = 1000;

let banger: Installation;
let repo: TestRepository;

beforeAll(async () => {
  banger = install();
  if (process.getuid?.() !== 0) return;
  await pullBusybox(banger);
  repo = new TestRepository(join(banger.home, "repo"));
  repo.commit({
    "a.txt": "a\n",
    "both.txt": "both\n",
    "old/x.txt": "x\n",
    "old/deep/y.txt": "y\n",
  });
  const flags = ["--mode", "direct", "--memory", "192M", "--disk", "256M", "--net", "none"];
  const workspace = ["--workspace", repo.path];
  await banger.ok("vm", "create", "busybox", "--name", "box", ...flags, ...workspace);
});
afterAll(async () => await banger?.[Symbol.asyncDispose]());

/** The command, and what it has printed. */
function startSync() {
  const child = banger.spawn(["vm", "workspace", "sync", "box"]);
  let output = "";
  const read = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
  };
  const ended = Promise.all([read(child.stdout), read(child.stderr), child.exited]);
  const has = async (text: string) => await until(() => output.includes(text));
  return { child, has, ended, output: () => output };
}

async function inside(script: string): Promise<string> {
  return await banger.ok("vm", "exec", "-w", "/workspace", "box", "--", "sh", "-c", script);
}

const host = (name: string): string => join(repo.path, name);

/** What a file of the machine has in it; undefined if it is not there. */
async function there(name: string): Promise<string | undefined> {
  const script = `if [ -e ${name} ]; then echo yes; cat ${name}; fi`;
  const text = await inside(script);
  return text.startsWith("yes\n") ? text.slice(4) : undefined;
}

machineTest("a directory and a machine are mirrored as they change, and after a stop", async () => {
  const first = startSync();
  await first.has("Up to date");

  // Both ways.
  writeFileSync(host("a.txt"), "from the host\n");
  await inside("echo from the machine >new.txt && mkdir -p in/side && echo deep >in/side/z.txt");
  await until(async () => (await there("a.txt")) === "from the host\n");
  await until(() => existsSync(host("in/side/z.txt")));
  expect(readFileSync(host("new.txt"), "utf8")).toBe("from the machine\n");

  // Many at once, in both directions.
  mkdirSync(host("burst"));
  for (let at = 0; at < BURST; at++) writeFileSync(host(`burst/${at}`), `${at}\n`);
  await inside(`mkdir back; i=0; while [ $i -lt ${BURST} ]; do echo $i >back/$i; i=$((i+1)); done`);
  const count = async () => Number(await inside("ls burst 2>/dev/null | wc -l"));
  await until(async () => (await count()) === BURST);
  const isBack = () => Array.from({ length: BURST }, (_, at) => at).every(isBackAt);
  const isBackAt = (at: number) => existsSync(host(`back/${at}`));
  await until(isBack);
  expect(readFileSync(host("back/999"), "utf8")).toBe("999\n");
  expect(await there("burst/999")).toBe("999\n");

  // A directory with another name.
  renameSync(host("old"), host("renamed"));
  await until(async () => (await there("renamed/deep/y.txt")) === "y\n");
  await until(async () => (await inside("ls -d old || true")) === "");
  await inside("mv renamed again");
  await until(() => existsSync(host("again/deep/y.txt")));
  await until(() => !existsSync(host("renamed")));

  // ^C loses nothing: what changed meanwhile is seen by the next run, a conflict too.
  first.child.kill("SIGINT");
  expect((await first.ended)[2]).not.toBe(1);
  writeFileSync(host("both.txt"), "host\n");
  await inside("echo machine >both.txt; rm new.txt");
  writeFileSync(host("while-away.txt"), "away\n");
  const second = startSync();
  await second.has("Up to date");
  expect(second.output()).toContain(
    "conflict both.txt (the other version is kept as both.txt.conflict-vm)",
  );
  expect(readFileSync(host("both.txt"), "utf8")).toBe("host\n");
  expect(readFileSync(host("both.txt.conflict-vm"), "utf8")).toBe("machine\n");
  expect(await there("both.txt")).toBe("host\n");
  expect(await there("both.txt.conflict-vm")).toBe("machine\n");
  expect(await there("while-away.txt")).toBe("away\n");
  expect(existsSync(host("new.txt"))).toBe(false);

  // The machine ends in the middle of a burst.
  for (let at = 0; at < BURST; at++) writeFileSync(host(`burst/late-${at}`), `late ${at}\n`);
  await banger.ok("vm", "stop", "box");
  expect((await second.ended)[2]).not.toBe(0);
  expect(second.output()).toContain("mirroring ended");
  rmSync(host("burst/0"));
  await banger.ok("vm", "start", "box");
  await banger.ok("vm", "workspace", "sync", "--once", "box");
  expect(await count()).toBe(2 * BURST - 1);
  expect(await there("burst/late-999")).toBe("late 999\n");
  expect(readFileSync(host("burst/999"), "utf8")).toBe("999\n");
  expect(repo.git("status", "--porcelain", "--ignored")).not.toContain(".banger-");
});

machineTest("a run saves checkpoints of its workspace while its command works", async () => {
  const waits =
    "echo inside >a.txt; until [ -e .git/refs/banger/checkpoints/0001 ]; do sleep 1; done";
  const flags = ["--memory", "192M", "--disk", "256M", "--net", "none", "--name", "kept", "--keep"];
  const workspace = ["--workspace", repo.path, "--checkpoint-every", "1s"];
  await banger.ok("vm", "run", ...flags, ...workspace, "busybox", "--", "sh", "-c", waits);
  expect(await banger.ok("vm", "workspace", "log", "kept")).toContain("Checkpoint 1");
});
