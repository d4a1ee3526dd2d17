/** Gives a jail's user access to the files and the tap of its machine, and takes it back. */
import { chownSync, statSync } from "node:fs";
import { BangerError, errnoOf } from "#base/error.ts";
import type { BootSpec, Snapshot } from "#vmm/driver.ts";
import { openToJails } from "#vmm/jail/user.ts";
import { ANYBODY, setTapOwner, tapOwner } from "#vmm/tap.ts";

export interface Borrower {
  uid: number;
  gid: number;
}

/** What must be given back. JSON-safe. */
export interface Loan {
  files: { path: string; uid: number; gid: number }[];
  tap: { name: string; uid: number } | undefined;
}

/** Whose everything is that will be lent. Kept before `lend`, so that an end in between loses nothing. */
export function planLoan(spec: BootSpec, own: readonly string[]): Loan {
  const written = spec.drives.filter(({ readOnly }) => !readOnly).map(({ path }) => path);
  const files = [...written, ...own].map((path) => {
    const { uid, gid } = statSync(path);
    return { path, uid, gid };
  });
  if (spec.network?.kind !== "tap") return { files, tap: undefined };
  const name = spec.network.tap;
  const uid = tapOwner(name);
  return { files, tap: uid === ANYBODY ? undefined : { name, uid } };
}

/**
 * Files that the machine writes come to belong to the jail's user. Files that it only reads are
 * shared with other machines, so they keep their owner and become readable for the jails' group.
 */
export function lend(
  spec: BootSpec,
  loan: Loan,
  { to, snapshot }: { to: Borrower; snapshot: Snapshot | undefined },
): void {
  const read = spec.drives.filter(({ readOnly }) => readOnly).map(({ path }) => path);
  const origin = snapshot
    ? [snapshot.memoryPath, snapshot.statePath]
    : [spec.kernelPath, spec.initrdPath];
  for (const path of [...origin, ...read]) openToJails(path);
  for (const { path } of loan.files) chownSync(path, to.uid, to.gid);
  if (loan.tap) setTapOwner(loan.tap.name, to.uid);
}

/** Gives owners back, as far as things still exist. */
export function takeBack(loan: Loan): void {
  for (const { path, uid, gid } of loan.files) ignoringMissing(() => chownSync(path, uid, gid));
  const { tap } = loan;
  if (tap) ignoringMissing(() => setTapOwner(tap.name, tap.uid));
}

function ignoringMissing(act: () => void): void {
  try {
    act();
  } catch (error) {
    const isMissing = errnoOf(error) === "ENOENT";
    if (!isMissing && !(error instanceof BangerError && error.code === "not_found")) throw error;
  }
}
