/** `banger doctor`: the checks of all domains. Works without the daemon. */
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { VmmChoice } from "#api/vm.ts";
import type { Check } from "#base/check.ts";
import { messageOf, toBangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import { which } from "#base/run.ts";
import { formatSize, GiB } from "#base/size.ts";
import { liveHolder } from "#config/holder.ts";
import { type Config, resolveConfig } from "#config/resolve.ts";
import { checks as bootstrapChecks } from "#images/local/bootstrap.ts";
import { unreadableImages } from "#images/records.ts";
import { checks as kernelChecks } from "#kernels/checks.ts";
import { checks as networkChecks } from "#net/checks.ts";
import { openStoreReadOnly } from "#store/db.ts";
import { removalOf, unreadableError } from "#store/row.ts";
import { unreadableVms } from "#vm/records.ts";
import { cgroupChecks } from "#vmm/cgroup.ts";
import { chooseDriver } from "#vmm/choose.ts";
import type { Driver } from "#vmm/driver.ts";
import { createDrivers } from "./drivers.ts";
import { reflinkWorks } from "./reflink.ts";

const SPACE_WARN_BYTES = 5 * GiB;
const SPACE_FAIL_BYTES = GiB / 2;
const UPGRADE_HINT =
  'Install a newer version of it, or use QEMU: vmm = "qemu" in the configuration';
/** A clock before this build's year makes every certificate invalid. */
const YEAR_MIN = 2026;

export async function runDoctor(): Promise<Check[]> {
  const config = await resolveConfig();
  const { state, cache } = config.paths.roots;
  const writable = [state, cache].map(writability);
  const drivers = createDrivers(config.values);
  const groups: (() => Check[] | Promise<Check[]>)[] = [
    ...drivers.map((driver) => () => driver.checks()),
    () => chosenDriver(drivers, config.values.vmm),
    () => memoryCheck(drivers, config.values),
    () =>
      networkChecks({
        bridge: config.values["network.bridge"],
        subnet: config.values["network.subnet"],
        subnet6: config.values["network.subnet6"],
      }),
    () => cgroupChecks(processOf(config.paths.daemonLock)),
    () => kernelChecks(),
    () => bootstrapChecks(),
    () => programs(),
    () => records(config.paths.database),
    () => [...writable, clock()],
    () => (writable[0]?.status === "ok" ? [space(state), reflink(state)] : []),
  ];
  const found = await Promise.all(
    groups.map(async (group, index): Promise<Check[]> => {
      try {
        return await group();
      } catch (error) {
        const title = "Check failed";
        return [{ id: `check.${index}`, title, status: "warn", detail: messageOf(error) }];
      }
    }),
  );
  return found.flat();
}

/** Of the daemon that runs, or of this process: where one that it starts will be. */
function processOf(lock: string): string {
  const pid = liveHolder(lock)?.pid;
  return pid === undefined ? "/proc/self" : `/proc/${pid}`;
}

/** What a machine made without --vmm is run by. */
function chosenDriver(drivers: readonly Driver[], preference: VmmChoice): Check[] {
  const base = { id: "vmm", title: "Machines run on" };
  try {
    const { reason } = chooseDriver(drivers, { preference, userNetwork: false });
    return [{ ...base, status: "ok", detail: reason }];
  } catch (error) {
    const { message, hint } = toBangerError(error);
    return [{ ...base, status: "fail", detail: message, fix: hint }];
  }
}

/** Whether the driver of new machines saves and restores memory, and why not. */
async function memoryCheck(
  drivers: readonly Driver[],
  { vmm, "vm.templates": templates }: Pick<Config["values"], "vmm" | "vm.templates">,
): Promise<Check[]> {
  const base = { id: "memory", title: "Templates and snapshots" };
  if (chosenDriver(drivers, vmm).some(({ status }) => status === "fail")) return [];
  const { driver } = chooseDriver(drivers, { preference: vmm, userNetwork: false });
  const key = await driver.snapshotKey?.();
  if (key === undefined || !driver.features.snapshot) {
    const detail = `${driver.title} cannot save memory: each machine boots, snapshots have disks only`;
    return [{ ...base, status: "warn", detail, fix: UPGRADE_HINT }];
  }
  const made = templates === "off" ? "no templates (vm.templates is off)" : "templates";
  return [
    { ...base, status: "ok", detail: `${made}, and snapshots with memory, on ${driver.title}` },
  ];
}

function programs(): Check[] {
  const wanted = [
    { id: "e2fsprogs", title: "e2fsck (disk checks)", program: "e2fsck", package: "e2fsprogs" },
    { id: "ssh", title: "ssh (banger vm ssh)", program: "ssh", package: "openssh-client" },
  ];
  return wanted.map((want): Check => {
    const path = which(want.program);
    const { id, title } = want;
    if (path) return { id, title, status: "ok", detail: path };
    const fix = `sudo apt-get install ${want.package}`;
    return { id, title, status: "warn", detail: "not installed", fix };
  });
}

/** Machines and images whose records cannot be read; the others are not affected. */
function records(database: string): Check[] {
  const db = openStoreReadOnly(database);
  const base = { id: "records", title: "Records in the store" };
  if (!db) return [];
  try {
    const unreadable = [...unreadableVms(db), ...unreadableImages(db)];
    if (unreadable.length === 0) return [{ ...base, status: "ok", detail: "all can be read" }];
    return unreadable.map((each): Check => {
      const { message } = unreadableError(each);
      return { ...base, status: "fail", detail: message, fix: removalOf(each) };
    });
  } finally {
    db.close();
  }
}

function writability(folder: string, index: number): Check {
  const name = index === 0 ? "State" : "Cache";
  const base = { id: `write.${name.toLowerCase()}`, title: `${name} directory` };
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const probe = stagingPath(join(folder, "doctor"));
    writeFileSync(probe, "");
    rmSync(probe);
    return { ...base, status: "ok", detail: `${folder} is writable` };
  } catch (error) {
    const fix = `Make it writable, or move it with XDG_${name.toUpperCase()}_HOME`;
    const detail = `${folder} is not writable: ${messageOf(error)}`;
    return { ...base, status: "fail", detail, fix };
  }
}

function space(folder: string): Check {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const base = { id: "disk", title: "Disk space", detail: `${formatSize(free)} free in ${folder}` };
  if (free >= SPACE_WARN_BYTES) return { ...base, status: "ok" };
  const fix = "Free disk space, or move the state directory with XDG_STATE_HOME";
  return { ...base, status: free < SPACE_FAIL_BYTES ? "fail" : "warn", fix };
}

function reflink(folder: string): Check {
  const works = reflinkWorks(folder);
  const detail = works
    ? "supported: copies share blocks"
    : "not supported by the file system; sparse copies are used";
  return { id: "reflink", title: "Reflink", status: "ok", detail };
}

function clock(): Check {
  const now = new Date();
  const base = { id: "time", title: "Clock", detail: now.toISOString() };
  if (now.getUTCFullYear() >= YEAR_MIN) return { ...base, status: "ok" };
  return { ...base, status: "fail", fix: "Set the clock: sudo timedatectl set-ntp true" };
}
