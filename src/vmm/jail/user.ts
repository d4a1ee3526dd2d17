/** The users of jails, and what they may read of files that belong to the daemon's. */
import { createHash } from "node:crypto";
import { chmodSync, chownSync, statSync } from "node:fs";
import { BangerError } from "#base/error.ts";

/**
 * One user id for each machine, from the range that systemd's list of user ids leaves unused; one
 * group for all, by which they may read the files that they share.
 */
const UID_BASE = 0x7000_0000;
export const JAIL_GID = 0x7100_0000;

const OTHERS_SHIFT = 0;
const GROUP_SHIFT = 3;
const GROUP_ALL = 0o070;
const READ = 0o4;
const WRITE = 0o2;

export function jailUid(runtimeDir: string): number {
  const digest = createHash("sha256").update(runtimeDir).digest();
  return UID_BASE + digest.readUIntBE(0, 3);
}

/** Files that machines only read are shared by them: they keep their owner and become readable for the jails' group. */
export function openToJails(path: string, { write = false }: { write?: boolean } = {}): void {
  const file = statSync(path);
  const wanted = READ | (write ? WRITE : 0);
  const has = (shift: number) => ((file.mode >> shift) & wanted) === wanted;
  if (has(OTHERS_SHIFT) || (file.gid === JAIL_GID && has(GROUP_SHIFT))) return;
  if (file.mode & GROUP_ALL && file.gid !== JAIL_GID) {
    // Another group has rights here, which it would lose.
    throw new BangerError(
      "permission_denied",
      `Cannot use "${path}" in a jail: it is not readable by other users`,
      { hint: `chmod o+r "${path}"` },
    );
  }
  chownSync(path, file.uid, JAIL_GID);
  chmodSync(path, (file.mode & 0o7777) | (wanted << GROUP_SHIFT));
}
