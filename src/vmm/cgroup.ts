/**
 * A control group (cgroup v2) for each machine, which holds it to its memory, processors and
 * threads. As root they are made in /banger of the hierarchy; a user's daemon makes them in its own
 * group when that was handed to it, as systemd does for a unit with Delegate=yes.
 */
import { accessSync, constants, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Check } from "#base/check.ts";
import { errnoOf, messageOf } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { kvmState } from "./host.ts";

/** Without memory and cpu a group would hold nobody to anything. */
const CONTROLLERS = ["memory", "cpu", "pids"] as const;
const ROOT_GROUP = "banger";
/** Where a daemon goes that divides its own group, since one that has groups below has no processes. */
const DAEMON_GROUP = "daemon";
const CPU_PERIOD_US = 100_000;
/** Above one thread for each virtual processor: VMM, control, asynchronous I/O. */
const EXTRA_THREADS = 64;
/** What a VMM takes besides its guest's memory; emulation keeps translated code, up to 1 GiB of it. */
const VMM_KVM_BYTES = 256 * MiB;
const VMM_TCG_BYTES = 1280 * MiB;
/** A group is busy for a moment after its last process is gone. */
const REMOVE_TRIES = 20;
const REMOVE_PAUSE_MS = 25;

export interface CgroupHome {
  /** Folder that the machines' groups are made in. */
  path: string;
  /** Folder whose controllers are handed down to them. */
  from: string;
  /** This process has to leave its group first. */
  isOwn: boolean;
}

/** Where this process may make groups, or what is in the way. Changes nothing. */
export function cgroupHome(proc = "/proc/self"): CgroupHome | { obstacle: string; fix?: string } {
  const mounts = readFileSync(join(proc, "mounts"), "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .flatMap(([, path, type]) => (type === "cgroup2" && path ? [unescapeMount(path)] : []));
  if (mounts.length === 0) return { obstacle: "the host has no cgroup v2" };
  // One can be hidden behind another mount, or outside of this process's root.
  const mount = mounts.find((path) => controllersIn(path) !== undefined);
  if (!mount) return { obstacle: `cgroup v2 is mounted on ${mounts[0]}, which is not accessible` };
  const missing = (folder: string): string[] => {
    const words = controllersIn(folder) ?? [];
    return CONTROLLERS.filter((name) => !words.includes(name));
  };
  if (process.getuid?.() === 0) {
    const lacks = missing(mount);
    if (lacks.length === 0) return { path: join(mount, ROOT_GROUP), from: mount, isOwn: false };
    return {
      obstacle: `cgroup v2 lacks the controllers ${lacks.join(", ")}`,
      fix: "Boot the host with systemd.unified_cgroup_hierarchy=1",
    };
  }
  const own = /^0::(.*)$/m.exec(readFileSync(join(proc, "cgroup"), "utf8"))?.[1] ?? "/";
  const place = basename(own) === DAEMON_GROUP ? dirname(own) : own;
  const path = join(mount, place);
  try {
    accessSync(join(path, "cgroup.subtree_control"), constants.W_OK);
  } catch {
    return {
      obstacle: "the daemon's control group is not delegated",
      fix: "Run the daemon as a systemd user unit: banger daemon enable",
    };
  }
  const lacks = missing(path);
  if (lacks.length > 0)
    return { obstacle: `the daemon's control group lacks the controllers ${lacks.join(", ")}` };
  return { path, from: path, isOwn: true };
}

/** Undefined when the folder is no control group that can be read. */
function controllersIn(folder: string): string[] | undefined {
  try {
    return readFileSync(join(folder, "cgroup.controllers"), "utf8").trim().split(" ");
  } catch {
    return undefined;
  }
}

/** The kernel writes blanks and the like in octal. */
function unescapeMount(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** Makes the home ready. Gives the folder for machines' groups, or why there is none. */
export function openCgroups(): { path: string } | { obstacle: string } {
  const home = cgroupHome();
  if ("obstacle" in home) return home;
  try {
    if (home.isOwn) {
      const aside = join(home.path, DAEMON_GROUP);
      mkdirSync(aside, { recursive: true });
      writeFileSync(join(aside, "cgroup.procs"), String(process.pid));
    }
    handDown(home.from);
    return { path: home.path };
  } catch (error) {
    return { obstacle: messageOf(error) };
  }
}

export interface CgroupLimits {
  cpus: number;
  memory_bytes: number;
}

/** Makes a machine's group in an opened home, with its limits. */
export function makeCgroup(path: string, { cpus, memory_bytes }: CgroupLimits): void {
  mkdirSync(dirname(path), { recursive: true });
  handDown(dirname(path));
  mkdirSync(path, { recursive: true });
  const vmm_bytes = kvmState().usable ? VMM_KVM_BYTES : VMM_TCG_BYTES;
  const settings = {
    "memory.max": String(memory_bytes + vmm_bytes),
    "memory.oom.group": "1",
    "cpu.max": `${cpus * CPU_PERIOD_US} ${CPU_PERIOD_US}`,
    "pids.max": String(cpus + EXTRA_THREADS),
  };
  for (const [name, value] of Object.entries(settings)) writeFileSync(join(path, name), value);
}

/** Removes a machine's group, whose processes are gone, and with the last one what we made around it. */
export async function removeCgroup(path: string): Promise<void> {
  for (let tries = 1; !tryRemove(path) && tries < REMOVE_TRIES; tries++) {
    await sleep(REMOVE_PAUSE_MS);
  }
  if (basename(dirname(path)) === ROOT_GROUP) tryRemove(dirname(path));
}

/** False when somebody is still in it. */
function tryRemove(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EBUSY" || errnoOf(error) === "ENOTEMPTY") return false;
    if (errnoOf(error) === "ENOENT") return true;
    throw error;
  }
}

function handDown(folder: string): void {
  const names = CONTROLLERS.map((name) => `+${name}`).join(" ");
  writeFileSync(join(folder, "cgroup.subtree_control"), names);
}

/** `proc`: the daemon's folder in /proc. */
export function cgroupChecks(proc: string): Check[] {
  const base = { id: "cgroup", title: "Resource limits" };
  const home = cgroupHome(proc);
  if (!("obstacle" in home)) {
    return [{ ...base, status: "ok", detail: `control groups in ${home.path}` }];
  }
  const detail = `${home.obstacle}; CPU limits of machines are not enforced`;
  return [{ ...base, status: "warn", detail, fix: home.fix }];
}
