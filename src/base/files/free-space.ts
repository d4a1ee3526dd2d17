/** How much may be written: some room stays for the store, for the machines' disks and for everybody else. */
import { statfsSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { formatSize, MiB } from "#base/size.ts";

const KEPT_MAX_BYTES = 512 * MiB;
const KEPT_PART = 0.02;

/** Of the file system that holds `path`; 0 or less when nothing should be written there. */
export function roomAt(path: string): number {
  const { bavail, blocks, bsize } = statfsSync(path);
  return bavail * bsize - Math.min(KEPT_MAX_BYTES, blocks * bsize * KEPT_PART);
}

/** `no_space` unless `wanted_bytes` more fit. `what`: "Cannot pull the image". */
export function assertRoom(path: string, wanted_bytes: number, what: string): void {
  const room_bytes = roomAt(path);
  if (wanted_bytes <= Math.max(0, room_bytes)) return;
  const room = formatSize(Math.max(0, room_bytes));
  throw diskFull(
    what,
    `no space left on the host's disk: ${formatSize(wanted_bytes)} needed, ${room} free`,
  );
}

export function diskFull(what: string, why = "no space left on the host's disk"): BangerError {
  return new BangerError("no_space", `${what}: ${why}`, {
    hint: "Free disk space, for example with: banger image gc",
  });
}
