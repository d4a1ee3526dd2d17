/**
 * Leases of the taps that `banger setup` created for a user. A lease is a file that belongs to the user, named like
 * the tap, with the machine's id: it needs no root, and all daemons of a user see the same leases.
 */
import {
  linkSync,
  mkdirSync,
  opendirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { BangerError, errnoOf } from "#base/error.ts";
import { stagingPath, writeFileAtomic } from "#base/files/atomic.ts";
import { readRegularFile } from "#base/files/regular-file.ts";
import type { Address } from "./address.ts";
import { type PoolTap, poolTaps } from "./devices.ts";

/** Empty after a boot, when the taps are gone too. */
const LEASES_PATH = "/run/banger";
/** Longer than an id; a larger file is not a lease. */
const MAX_LEASE_LENGTH = 64;

export interface PoolOwner {
  bridge: string;
  user_uid: number;
}

/** Created by `banger setup` and owned by the user. */
export function leasesDirectory({ bridge, user_uid }: PoolOwner): string {
  return join(LEASES_PATH, `${bridge}-${user_uid}`);
}

export function makeLeasesDirectory(owner: PoolOwner): string {
  const folder = leasesDirectory(owner);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return folder;
}

/**
 * Removes the leases and their directory, and the parent if it is empty. The user may have created anything there, and
 * may change it meanwhile: subdirectories are not entered. What cannot be removed stays until the next boot.
 */
export function removeLeasesDirectory(owner: PoolOwner): void {
  const folder = leasesDirectory(owner);
  if (isFolder(folder)) {
    using entries = opendirSync(folder);
    for (let entry = entries.readSync(); entry; entry = entries.readSync()) {
      attempt(() => unlinkSync(join(folder, entry.name)));
    }
  }
  attempt(() => rmdirSync(folder));
  // Fails while another pool has leases.
  attempt(() => rmdirSync(LEASES_PATH));
}

function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Whether this user has a tap for machines of a mode, free or not. */
export function hasPoolTap(owner: PoolOwner, mode: "nat" | "host"): boolean {
  return tapsOf(owner).some((tap) => tap.mode === mode) && isFolder(leasesDirectory(owner));
}

export interface LeaseRequest extends PoolOwner {
  machineId: string;
  mode: "nat" | "host";
  /** Preferred, if its tap is free. */
  address?: Address | undefined;
}

/** Returns the machine's current tap if it has one. `limit_exceeded` if all are in use. */
export function leaseTap(request: LeaseRequest): PoolTap {
  const { machineId, mode, address } = request;
  const taps = tapsOf(request).filter((tap) => tap.mode === mode);
  const leases = readLeases(request);
  const own = taps.find(({ tap }) => leases.get(tap) === machineId);
  if (own) return own;
  // A stale lease of a tap of the other mode, or of a removed one, would never be released.
  releaseTap({ ...request, machineId });
  const preferred = taps.toSorted(
    (a, b) => Number(b.address === address) - Number(a.address === address),
  );
  for (const tap of preferred) if (tryLease(request, tap.tap)) return tap;
  const flag = mode === "nat" ? "--taps" : "--host-taps";
  throw new BangerError(
    "limit_exceeded",
    `Cannot connect the machine: all ${taps.length} tap devices are in use`,
    {
      hint: `Stop a machine, or create more tap devices: sudo banger setup ${flag} ${Math.max(taps.length * 2, 1)}`,
    },
  );
}

/** Idempotent. */
export function releaseTap(owner: PoolOwner & { machineId: string }): void {
  for (const [tap, machineId] of readLeases(owner)) {
    if (machineId === owner.machineId) rmSync(join(leasesDirectory(owner), tap), { force: true });
  }
}

/** The taps in use. */
export function leasedTaps(owner: PoolOwner): PoolTap[] {
  const folder = leasesDirectory(owner);
  return tapsOf(owner).filter(({ tap }) => readLease(join(folder, tap)) !== undefined);
}

function tapsOf({ bridge, user_uid }: PoolOwner): PoolTap[] {
  return poolTaps(bridge).filter((tap) => tap.user_uid === user_uid);
}

/** link(2) creates the lease with its content, and never replaces another. */
function tryLease(request: LeaseRequest, tap: string): boolean {
  const path = join(leasesDirectory(request), tap);
  const staging = stagingPath(path);
  try {
    writeFileAtomic(staging, request.machineId);
    linkSync(staging, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw new BangerError(
      "permission_denied",
      `Cannot lease a tap device: cannot write to "${leasesDirectory(request)}"`,
      { hint: "Restore it with: sudo banger setup", cause: error },
    );
  } finally {
    rmSync(staging, { force: true });
  }
}

function readLeases(owner: PoolOwner): Map<string, string> {
  const folder = leasesDirectory(owner);
  const leases = new Map<string, string>();
  try {
    for (const tap of readdirSync(folder)) {
      const machineId = tap.startsWith(".") ? undefined : readLease(join(folder, tap));
      if (machineId !== undefined) leases.set(tap, machineId);
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
  return leases;
}

/** Undefined if it is not a lease: the user controls the directory, and root reads it too. */
function readLease(path: string): string | undefined {
  try {
    return readRegularFile(path, { max_bytes: MAX_LEASE_LENGTH });
  } catch (error) {
    if (errnoOf(error) === undefined && !(error instanceof BangerError)) throw error;
    return undefined;
  }
}

/** Also false for what this user may not look at: in a machine of ours, the directory above is the agent's. */
function isFolder(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return false;
  }
}
