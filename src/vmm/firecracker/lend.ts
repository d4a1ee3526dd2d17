/** Gives a jail's user access to the files and the tap of its machine, and takes it back. */
import { chmodSync, chownSync, readFileSync, statSync } from "node:fs";
import { BangerError, errnoOf } from "#base/error.ts";
import type { BootSpec, Snapshot } from "#vmm/driver.ts";
import { setTapOwner } from "./tap-owner.ts";

const OTHERS_READ = 0o004;
const GROUP_READ = 0o040;
const GROUP_ALL = 0o070;
/** Owner of a tap that everybody may open. */
const ANYBODY = -1;

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
  for (const path of [...origin, ...read]) makeReadable(path, to.gid);
  for (const { path } of loan.files) chownSync(path, to.uid, to.gid);
  if (loan.tap) setTapOwner(loan.tap.name, to.uid);
}

/** Gives owners back, as far as things still exist. */
export function takeBack(loan: Loan): void {
  for (const { path, uid, gid } of loan.files) ignoringMissing(() => chownSync(path, uid, gid));
  const { tap } = loan;
  if (tap) ignoringMissing(() => setTapOwner(tap.name, tap.uid));
}

function makeReadable(path: string, gid: number): void {
  const file = statSync(path);
  if (file.mode & OTHERS_READ || (file.gid === gid && file.mode & GROUP_READ)) return;
  if (file.mode & GROUP_ALL) {
    // Another group has rights here, which it would lose.
    throw new BangerError(
      "permission_denied",
      `Cannot use "${path}" in a jail: it is not readable by other users`,
      { hint: `chmod o+r "${path}"` },
    );
  }
  chownSync(path, file.uid, gid);
  chmodSync(path, (file.mode & 0o7777) | GROUP_READ);
}

function tapOwner(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/owner`, "utf8").trim());
  } catch (cause) {
    const text = `no such tap device "${name}"`;
    throw new BangerError("not_found", text, { hint: "banger doctor", cause });
  }
}

function ignoringMissing(act: () => void): void {
  try {
    act();
  } catch (error) {
    const isMissing = errnoOf(error) === "ENOENT";
    if (!isMissing && !(error instanceof BangerError && error.code === "not_found")) throw error;
  }
}
