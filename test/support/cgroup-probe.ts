/** Runs inside a guest with a full cgroup tree: creates a cgroup as banger does, and tests its limits. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { cgroupHome, makeCgroup, openCgroups, removeCgroup } from "#vmm/cgroup.ts";
import { kvmState } from "#vmm/host.ts";

export interface ProbeResult {
  home: ReturnType<typeof cgroupHome>;
  opened: ReturnType<typeof openCgroups>;
  /** Where the daemon is afterwards. */
  ownGroup: string;
  limits: Record<string, string>;
  hasKvm: boolean;
  /** Exit of one that stays within its memory, and of one that does not. */
  modest: number | null;
  greedy: string | null;
  isRemoved: boolean;
}

const LIMITS = ["memory.max", "cpu.max", "pids.max"];
/** What makeCgroup() adds for the VMM stays as it is: the greedy one takes more than both. */
const GREEDY_BYTES = 1400 * MiB;

const home = cgroupHome();
const opened = openCgroups();
const group = "path" in opened ? join(opened.path, "probe") : "/nowhere";
const result: ProbeResult = {
  home,
  opened,
  ownGroup: readFileSync("/proc/self/cgroup", "utf8").trim(),
  limits: {},
  hasKvm: kvmState().usable,
  modest: null,
  greedy: null,
  isRemoved: false,
};
if ("path" in opened) {
  makeCgroup(group, { cpus: 2, memory_bytes: 64 * MiB });
  for (const name of LIMITS) result.limits[name] = readFileSync(join(group, name), "utf8").trim();
  result.modest = (await inGroup("true")).code;
  if (process.getuid?.() === 0) result.greedy = await fillMemory();
  await removeCgroup(group);
  result.isRemoved = !existsSync(group);
}
console.log(JSON.stringify(result));

/** Pages of a tmpfs count as its writer's. */
async function fillMemory(): Promise<string | null> {
  mkdirSync("/tmp/greedy", { recursive: true });
  Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=90%", "none", "/tmp/greedy"]);
  const count = GREEDY_BYTES / MiB;
  const filled = await inGroup(`exec dd if=/dev/zero of=/tmp/greedy/fill bs=1M count=${count}`);
  Bun.spawnSync(["umount", "/tmp/greedy"]);
  return filled.signal;
}

async function inGroup(command: string) {
  const child = Bun.spawn(["sh", "-c", command], {
    cgroup: group,
    stdio: ["ignore", "ignore", "ignore"],
  });
  await child.exited;
  return {
    code: child.exitCode,
    signal: child.signalCode === null ? null : String(child.signalCode),
  };
}
