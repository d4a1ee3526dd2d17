import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { takeDaemonLock } from "./lock.ts";

/** A process that is supervised and does what its parameters are, one after the other; then it waits. */
const PROGRAM = `
import { Supervisor } from "#daemon/supervisor.ts";
const [folder, restarts, ...steps] = process.argv.slice(1);
const supervisor = new Supervisor({
  paths: { daemonLock: folder + "/lock", daemonLog: folder + "/log" },
  command: ["sh", "-c", 'echo "$@" >' + folder + '/started', "next"],
  restarts: Number(restarts),
  onChange: (pid) => console.log(pid ?? "none"),
});
for (const step of steps) {
  if (step === "dismiss") await supervisor.dismiss();
  else supervisor.update(step === "need");
}
console.log("done " + process.pid);
setInterval(() => {}, 1000);
`;

let folder: string;
const children: Bun.Subprocess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-supervisor-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** Kills it once it has done its steps; `holder`: the pid in the lock, by default its own. Gives the supervisors' pids. */
async function killAfter(steps: string[], { restarts = 0, holder = 0 } = {}): Promise<number[]> {
  const child = Bun.spawn([process.execPath, "-e", PROGRAM, folder, String(restarts), ...steps], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  let said = "";
  for await (const chunk of child.stdout) {
    said += Buffer.from(chunk).toString();
    if (said.includes("done ")) break;
  }
  if (holder >= 0) writeFileSync(join(folder, "lock"), `${holder || child.pid}\n`);
  child.kill("SIGKILL");
  await child.exited;
  return [...said.matchAll(/^\d+$/gm)].map(Number);
}

async function untilEnded(pids: number[]): Promise<void> {
  // One that nobody has waited for is a zombie.
  const isThere = (pid: number) => /\) [^Z]/.test(fileOf(pid, "stat"));
  while (pids.some(isThere)) await Bun.sleep(5);
}

function fileOf(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}

function started(): string | undefined {
  const path = join(folder, "started");
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

test("a daemon that is killed while it is needed is started again", async () => {
  const pids = await killAfter(["need"]);
  expect(pids).toHaveLength(1);
  while (!started()) await Bun.sleep(5);
  expect(started()).toBe("--restarts 1\n");
});

test("a daemon that is needed again is started again, by the process of before", async () => {
  const pids = await killAfter(["need", "idle", "need"]);
  expect(pids).toHaveLength(1);
  while (!started()) await Bun.sleep(5);
});

test("one that was not needed any more, or ended for good, is not", async () => {
  for (const steps of [
    ["need", "idle"],
    ["need", "dismiss"],
    ["dismiss", "need"],
  ]) {
    await untilEnded(await killAfter(steps));
    expect(started()).toBeUndefined();
  }
});

test("nothing is started where another holds the lock, or the state directory is gone", async () => {
  for (const holder of [1, -1]) {
    const pids = await killAfter(["need"], { holder });
    expect(pids).toHaveLength(1);
    await untilEnded(pids);
    expect(started()).toBeUndefined();
    rmSync(join(folder, "lock"), { force: true });
  }
});

test("one that waits before it starts the daemon once more leaves nothing when it is ended", async () => {
  const [pid = 0] = await killAfter(["need"], { restarts: 4 });
  const children = () => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  while (!children()) await Bun.sleep(5);
  const sleep = Number(children());
  while (!fileOf(sleep, "cmdline").startsWith("sleep")) await Bun.sleep(5);
  process.kill(pid, "SIGTERM");
  await untilEnded([pid]);
  await untilEnded([sleep]);
  expect(started()).toBeUndefined();
});

test("a daemon that somebody else starts meanwhile ends the one that waits", async () => {
  const [supervisor = 0] = await killAfter(["need"], { restarts: 4 });
  const lock = join(folder, "lock");
  const [pid] = readFileSync(lock, "utf8").split("\n");
  writeFileSync(lock, `${pid}\n/socket\n${supervisor}\n`);
  takeDaemonLock(lock);
  await untilEnded([supervisor]);
  expect(existsSync(join(folder, "started"))).toBe(false);
});

test("five quick ends in a row are enough", async () => {
  await untilEnded(await killAfter(["need"], { restarts: 5 }));
  expect(started()).toBeUndefined();
  expect(readFileSync(join(folder, "log"), "utf8")).toContain("5 times in a row");
});
