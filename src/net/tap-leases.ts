/**
 * The taps that `banger setup` left for a user, and which of them a machine of that user has.
 * A claim is a file of the user's own, named like the tap and holding the machine's id: taking
 * a tap needs no rights, and all daemons of one user see the same.
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

/** On a file system that is empty after boot, as the taps are gone then. */
const CLAIMS_PATH = "/run/banger";
/** An id is shorter; a file that says more is none of ours. */
const MAX_CLAIM_LENGTH = 64;

export interface PoolOwner {
  bridge: string;
  user_uid: number;
}

/** Made by `banger setup`, and the user's own. */
export function claimsFolder({ bridge, user_uid }: PoolOwner): string {
  return join(CLAIMS_PATH, `${bridge}-${user_uid}`);
}

export function makeClaimsFolder(owner: PoolOwner): string {
  const folder = claimsFolder(owner);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  return folder;
}

/**
 * With the claims in it, and what holds all of them when it is the last. The user may have made anything there, and change
 * it meanwhile: nothing below the folder is entered. What cannot go stays until the next boot.
 */
export function removeClaimsFolder(owner: PoolOwner): void {
  const folder = claimsFolder(owner);
  if (isFolder(folder)) {
    using entries = opendirSync(folder);
    for (let entry = entries.readSync(); entry; entry = entries.readSync()) {
      attempt(() => unlinkSync(join(folder, entry.name)));
    }
  }
  attempt(() => rmdirSync(folder));
  // Another pool's may be there.
  attempt(() => rmdirSync(CLAIMS_PATH));
}

function attempt(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

/** Whether there is a tap for this user's machines of a mode, free or not. */
export function hasPoolTap(owner: PoolOwner, mode: "nat" | "host"): boolean {
  return tapsOf(owner).some((tap) => tap.mode === mode) && isFolder(claimsFolder(owner));
}

export interface ClaimRequest extends PoolOwner {
  machineId: string;
  mode: "nat" | "host";
  /** The tap with this address is taken if it is free; any other one otherwise. */
  address?: Address | undefined;
}

/** The same tap again for a machine that has one. `limit_exceeded` when all are taken. */
export function claimTap(request: ClaimRequest): PoolTap {
  const { machineId, mode, address } = request;
  const taps = tapsOf(request).filter((tap) => tap.mode === mode);
  const claims = readClaims(request);
  const own = taps.find(({ tap }) => claims.get(tap) === machineId);
  if (own) return own;
  // An old claim on a tap of the other mode, or on one that is gone, would never be given back.
  releaseTap({ ...request, machineId });
  const preferred = taps.toSorted(
    (a, b) => Number(b.address === address) - Number(a.address === address),
  );
  for (const tap of preferred) if (tryClaim(request, tap.tap)) return tap;
  const flag = mode === "nat" ? "--taps" : "--host-taps";
  throw new BangerError(
    "limit_exceeded",
    `Cannot connect the machine: all ${taps.length} tap devices are in use`,
    {
      hint: `Stop a machine, or create more tap devices: sudo banger setup ${flag} ${Math.max(taps.length * 2, 1)}`,
    },
  );
}

/** Safe to repeat, and for a machine that has none. */
export function releaseTap(owner: PoolOwner & { machineId: string }): void {
  for (const [tap, machineId] of readClaims(owner)) {
    if (machineId === owner.machineId) rmSync(join(claimsFolder(owner), tap), { force: true });
  }
}

/** The taps that machines have now. */
export function claimedTaps(owner: PoolOwner): PoolTap[] {
  const folder = claimsFolder(owner);
  return tapsOf(owner).filter(({ tap }) => readClaim(join(folder, tap)) !== undefined);
}

function tapsOf({ bridge, user_uid }: PoolOwner): PoolTap[] {
  return poolTaps(bridge).filter((tap) => tap.user_uid === user_uid);
}

/** The file appears with its content or not at all, and never in the place of another. */
function tryClaim(request: ClaimRequest, tap: string): boolean {
  const path = join(claimsFolder(request), tap);
  const staging = stagingPath(path);
  try {
    writeFileAtomic(staging, request.machineId);
    linkSync(staging, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw new BangerError(
      "permission_denied",
      `Cannot lease a tap device: cannot write to "${claimsFolder(request)}"`,
      { hint: "Restore it with: sudo banger setup", cause: error },
    );
  } finally {
    rmSync(staging, { force: true });
  }
}

function readClaims(owner: PoolOwner): Map<string, string> {
  const folder = claimsFolder(owner);
  const claims = new Map<string, string>();
  try {
    for (const tap of readdirSync(folder)) {
      const machineId = tap.startsWith(".") ? undefined : readClaim(join(folder, tap));
      if (machineId !== undefined) claims.set(tap, machineId);
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
  return claims;
}

/** Undefined for what is none: root looks here as well, and only the user decides what there is. */
function readClaim(path: string): string | undefined {
  try {
    return readRegularFile(path, { max_bytes: MAX_CLAIM_LENGTH });
  } catch (error) {
    if (errnoOf(error) === undefined && !(error instanceof BangerError)) throw error;
    return undefined;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
