/**
 * Compares `banger vm run IMAGE -- true` from a template to the same restore done by hand with QEMU and QMP until the
 * guest's agent answers, to a run with templates turned off, and to `banger vm exec` in suspended machines, a small and
 * a large one; then the memory of idle machines, and `banger vm create` in systemd mode to direct mode.
 */
import { appendFileSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect, createConnection } from "node:net";
import { join } from "node:path";
import { connectAgent } from "#guest/agent.ts";
import { pullBusybox } from "#test/busybox.ts";
import { debianLayout } from "#test/debian.ts";
import { type Installation, install } from "#test/installation.ts";
import { printRatio, program, race } from "./measure.ts";

const ROUNDS = 7;
const KIND = ["--net", "none", "--memory", "256M", "--disk", "64M"];
const RUN = ["vm", "run", ...KIND, "busybox", "--", "true"];

await using warm = install();
await using cold = install();
appendFileSync(join(cold.home, "config/banger/config.toml"), '[vm]\ntemplates = "off"\n');
for (const banger of [warm, cold]) {
  await pullBusybox(banger);
  await banger.ok(...RUN);
}
const byHand = await handMade(warm);
const sleepers = [await sleeper(warm, "256M"), await sleeper(warm, "4G")];
const [ours = 0, hand = 1, boot = 1, small = 0, large = 0] = await race(
  [
    { name: "banger vm run busybox -- true, restored", run: () => warm.ok(...RUN) },
    { name: "QEMU and QMP by hand, until the agent answers", ...byHand },
    { name: "banger vm run busybox -- true, booted", run: () => cold.ok(...RUN) },
    ...sleepers,
  ],
  ROUNDS,
);
printRatio("restored / by hand", ours / hand, "1.3");
printRatio("booted / restored", boot / ours, "15 or more");

printRatio("woken, 256 MiB / restored", small / ours, "2");
printRatio("woken, 4 GiB / restored", large / ours, "2");

const [restored = 0, booted = 1] = [await idleMemory(warm), await idleMemory(cold)];
console.log(`${mebibytes(restored)} MiB restored, ${mebibytes(booted)} MiB booted`);
printRatio("private memory of an idle machine, restored / booted", restored / booted, "0.33");

await warm.ok("image", "pull", `oci:${await debianLayout()}`, "--name", "debian");
await warm.ok("image", "provision", "debian");
const [direct = 1, systemd = 0] = await race(
  ["direct", "systemd"].map((mode) => createIn(warm, mode)),
  ROUNDS,
);
printRatio("systemd / direct", systemd / direct, "2");

/** A machine that is suspended, and woken by a command. */
async function sleeper({ ok }: Installation, memory: string) {
  const name = `sleeper-${memory.toLowerCase()}`;
  const size = ["--net", "none", "--memory", memory, "--disk", "64M"];
  await ok("vm", "create", "--image", "busybox", "--name", name, "--mode", "direct", ...size);
  return {
    name: `banger vm exec in a suspended machine of ${memory}`,
    prepare: async () => void (await ok("vm", "suspend", name)),
    run: () => ok("vm", "exec", name, "--", "true"),
  };
}

/** Bytes of a machine's QEMU that no other process has. */
async function idleMemory({ ok, processes }: Installation): Promise<number> {
  const before = new Set(processes().map(({ pid }) => pid));
  await ok("vm", "create", "--image", "busybox", "--name", "idle", "--mode", "direct", ...KIND);
  await Bun.sleep(2000);
  const isVmm = ({ pid, command }: { pid: number; command: string }) =>
    !before.has(pid) && command.includes("qemu-system");
  const pid = processes().find(isVmm)?.pid;
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  await ok("vm", "rm", "--force", "idle");
  const parts = rollup.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB$/gm);
  return [...parts].reduce((sum, [, kib]) => sum + Number(kib) * 1024, 0);
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

/** `vm create` of a machine of that mode, with its template there. */
function createIn({ ok }: Installation, mode: string) {
  const kind = ["--image", "debian", "--net", "none", "--memory", "512M", "--mode", mode];
  const create = (name: string) => ok("vm", "create", "--name", name, ...kind);
  let last = "";
  return {
    name: `banger vm create, ${mode}, restored`,
    prepare: async () => {
      if (!last) await create(mode);
      await ok("vm", "rm", "--force", last || mode);
      last = `${mode}${Math.random().toString(36).slice(2, 8)}`;
    },
    run: () => create(last),
  };
}

/** The restore of a machine that banger has restored, by its command line. */
async function handMade({ home, ok, processes }: Installation) {
  await ok("vm", "create", "--image", "busybox", "--name", "probe", "--mode", "direct", ...KIND);
  const pid = processes().find(({ command }) => command.includes("qemu-system"))?.pid;
  if (!pid) throw new Error("the machine has no QEMU process");
  const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  const modules = join(home, "modules.ext4");
  const theirs = argv.join("\n").match(/[^,=\n]*\/modules\.ext4/)?.[0];
  if (theirs) linkSync(theirs, modules);
  await ok("vm", "rm", "--force", "probe");
  const templates = join(home, "cache/banger/templates");
  const template = join(templates, readdirSync(templates)[0] ?? "");
  const folder = join(home, "hand");
  const moved = argv.map((word) =>
    word.replaceAll(
      /(=|unix:)[^,=]*\/(disk\.ext4|modules\.ext4|console\.log|\w+\.sock)/g,
      (_, head, name) => `${head}${join(folder, name)}`,
    ),
  );
  return {
    prepare: async () => {
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(folder);
      await program("cp", "--sparse=always", join(template, "disk.ext4"), folder);
      if (theirs) linkSync(modules, join(folder, "modules.ext4"));
    },
    run: () => restoreByHand(moved, folder, readFileSync(join(template, "state"))),
  };
}

async function restoreByHand(argv: string[], folder: string, state: Buffer): Promise<void> {
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  const path = (name: string) => join(folder, `${name}.sock`);
  const control = await dial(path("qmp"));
  const lines = control[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let text = "";
  const execute = async (execute: string, parameters?: object): Promise<string> => {
    control.write(JSON.stringify({ execute, arguments: parameters }));
    text = "";
    while (!/"return"|"error"/.test(text)) text += String((await lines.next()).value);
    return text;
  };
  await execute("qmp_capabilities");
  await execute("migrate-incoming", { uri: `unix:${path("state")}` });
  (await dial(path("state"))).end(state);
  while (!(await execute("query-migrate")).includes("completed")) await Bun.sleep(1);
  await execute("cont");
  const agent = await connectAgent(connect({ path: path("agent") }));
  await agent.health();
  agent.close();
  child.kill("SIGKILL");
  await child.exited;
}

/** Until somebody listens. */
async function dial(path: string) {
  while (true) {
    const socket = createConnection({ path });
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    if (isOpen) return socket;
    await Bun.sleep(1);
  }
}
