/** The devices of a machine's mounts, and what its guest does with them after a boot. */
import { mkdirSync, realpathSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GuestOptions } from "#api/mount/mount.ts";
import { BangerError, errnoOf, messageOf, toBangerError } from "#base/error.ts";
import { quoteWord } from "#base/shell/word.ts";
import type { VmSpec } from "#vm/spec.ts";
import type { BootSpec, Drive, Share } from "#vmm/driver.ts";
import type { SetupPart } from "./setup.ts";
import type { Volumes } from "./volumes.ts";

/** For mount(2). */
const MS = { RDONLY: 1, NOSUID: 2, NODEV: 4, REMOUNT: 32, NOATIME: 1024, BIND: 4096 };
/** The largest message of 9P: fewer round trips, and 512 KiB is what the transport takes. */
const SHARE_OPTIONS = "trans=virtio,version=9p2000.L,msize=512000";
const RLIMITS: Readonly<Record<string, number>> = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
};
const UNLIMITED = String(2n ** 64n - 1n);

export function volumeDrives(
  volumes: Pick<Volumes, "diskOf">,
  spec: Pick<VmSpec, "volumes">,
): Drive[] {
  return (spec.volumes ?? []).map(({ volume, readOnly }) => {
    const { path, size_bytes } = volumes.diskOf(volume);
    return { path, readOnly: readOnly === true, volume_bytes: size_bytes };
  });
}

/** `not_found` and `invalid_argument` for what is no directory now. */
export function sharesOf({ shares }: Pick<VmSpec, "shares">): Share[] {
  return (shares ?? []).map(({ source, readOnly }) => ({
    path: requireDirectory(source),
    readOnly: readOnly === true,
  }));
}

export function requireDirectory(source: string): string {
  const message = `Cannot share "${source}"`;
  try {
    if (statSync(source).isDirectory()) return realpathSync(source);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR") {
      throw new BangerError("not_found", `${message}: no such directory`, {
        hint: `Create it with: mkdir -p ${quoteWord(source)}`,
      });
    }
    const { code } = toBangerError(error);
    throw new BangerError(code, `${message}: ${messageOf(error)}`, { cause: error });
  }
  throw new BangerError("invalid_argument", `${message}: not a directory`, {
    hint: "Share its directory, or copy it: banger vm cp",
  });
}

/** Drives and shares of the same kind that hold nothing, for a template; they are below `folder`. */
export function placeholders(
  { drives, shares }: Pick<BootSpec, "drives" | "shares">,
  folder: string,
): Pick<BootSpec, "drives" | "shares"> {
  const empty = join(folder, "share");
  if (shares?.length) mkdirSync(empty, { recursive: true, mode: 0o700 });
  return {
    drives: drives.map((drive, index) => {
      if (drive.volume_bytes === undefined) return drive;
      const path = join(folder, `volume-${index}`);
      writeFileSync(path, "", { mode: 0o600 });
      truncateSync(path, drive.volume_bytes);
      return { ...drive, path };
    }),
    shares: shares?.map((share) => ({ ...share, path: empty })),
  };
}

/** What of them the devices of a template follow from; undefined without any. */
export function mountsKey({ drives, shares }: Pick<BootSpec, "drives" | "shares">) {
  const volumes = drives.filter(({ volume_bytes }) => volume_bytes !== undefined);
  if (volumes.length === 0 && !shares?.length) return undefined;
  return [volumes.map(({ readOnly, volume_bytes }) => [readOnly, volume_bytes]), shares?.length];
}

/**
 * Steps of guest/setup/setup.h, and shares that are no devices of its BootSpec; none for a machine without mounts and
 * limits.
 */
export function setupSteps(
  { volumes = [], shares = [], guest = {} }: Pick<VmSpec, "volumes" | "shares" | "guest">,
  { drives, shares: devices }: Pick<BootSpec, "drives" | "shares">,
): SetupPart[] {
  const first = drives.findIndex(({ volume_bytes }) => volume_bytes !== undefined);
  const disk = (index: number) => diskAt(first + index);
  const mounts = [
    ...volumes.map(({ path, readOnly }, index) => ({
      path,
      words: readOnly
        ? // Its journal may be in need of recovery, which no reader can do.
          ["mount", disk(index), path, "ext4", String(MS.RDONLY | MS.NOATIME), "noload"]
        : ["volume", disk(index), path],
    })),
    ...shares.map(({ path, readOnly }, index) => ({
      path,
      words: devices?.[index]
        ? [
            ...["mount", `share${index}`, path, "9p"],
            ...[String((readOnly ? MS.RDONLY : 0) | MS.NODEV), SHARE_OPTIONS],
          ]
        : { share: index },
    })),
    ...tmpfsOf(guest),
  ];
  // What is mounted inside of another comes after it.
  const sorted = mounts.toSorted((a, b) => depthOf(a.path) - depthOf(b.path));
  return joined([...sorted.map(({ words }) => words), limitsOf(guest)]);
}

/** As few requests to the agent as their order permits. */
function joined(parts: readonly SetupPart[]): SetupPart[] {
  const all: SetupPart[] = [];
  for (const each of parts) {
    const last = all.at(-1);
    if ("share" in each) all.push(each);
    else if (last && !("share" in last)) last.push(...each);
    else if (each.length > 0) all.push([...each]);
  }
  return all;
}

/** Of a volume that is mounted already: its disk, of that place among the drives, has grown. */
export function growStep(disk: { index: number; path: string; size_bytes: number }): string[] {
  return ["grow", diskAt(disk.index), disk.path, String(disk.size_bytes)];
}

function diskAt(index: number): string {
  return `/dev/vd${String.fromCharCode(97 + index)}`;
}

function tmpfsOf({ tmpfs = [] }: GuestOptions): { path: string; words: string[] }[] {
  return tmpfs.map(({ path, size_bytes, mode = 0o1777 }) => {
    const size = size_bytes === undefined ? "" : `,size=${size_bytes}`;
    const data = `mode=${mode.toString(8)}${size}`;
    return { path, words: ["mount", "tmpfs", path, "tmpfs", String(MS.NOSUID | MS.NODEV), data] };
  });
}

function limitsOf({ shm_bytes, swap_bytes, sysctls = {}, ulimits, readOnly }: GuestOptions) {
  const shmFlags = String(MS.REMOUNT | MS.NOSUID | MS.NODEV);
  const limits = (ulimits ?? []).flatMap(({ name, soft, hard }) => [
    String(RLIMITS[name]),
    ...[soft, hard].map((value) => (value === -1 ? UNLIMITED : String(value))),
  ]);
  return [
    ...(shm_bytes === undefined
      ? []
      : ["mount", "tmpfs", "/dev/shm", "tmpfs", shmFlags, `mode=1777,size=${shm_bytes}`]),
    ...(swap_bytes === undefined ? [] : ["swap", String(swap_bytes - (swap_bytes % 4096))]),
    ...Object.entries(sysctls).flatMap(([name, value]) => [
      "write",
      `/proc/sys/${name.includes("/") ? name : name.replaceAll(".", "/")}`,
      value,
    ]),
    ...(limits.length > 0 ? ["limits", limits.join(" ")] : []),
    ...(readOnly ? ["mount", "root", "/", "", String(MS.REMOUNT | MS.BIND | MS.RDONLY), ""] : []),
  ];
}

function depthOf(path: string): number {
  return path.split("/").filter(Boolean).length;
}
