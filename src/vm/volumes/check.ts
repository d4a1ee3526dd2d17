/** Checks what a request wants mounted, before anything is made for it. */
import type { BootMode, VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { formatSize, MiB } from "#base/size.ts";
import type { VmSpec } from "#vm/spec.ts";
import { requireDirectory } from "./attach.ts";

/** Mounts there would take the agent's own files, or the guest's kernel, from it. */
const OWN = /^\/(run\/banger|proc|sys|dev)(\/|$)/;

type Wanted = Pick<VmCreate, "idleSuspend_ms"> & Pick<VmSpec, "volumes" | "shares" | "guest">;

/** The part of the spec that it becomes. `invalid_argument`, `not_found` for a directory of the host. */
export function mountsOf(
  { volumes = [], shares = [], guest, idleSuspend_ms }: Wanted,
  { mode, disk_bytes }: { mode: BootMode; disk_bytes: number },
): Pick<VmSpec, "volumes" | "shares" | "guest"> {
  const paths = [...volumes, ...shares, ...(guest?.tmpfs ?? [])].map(({ path }) => plain(path));
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) throw invalid(`Cannot mount two things at "${twice}"`);
  const own = paths.find((path) => OWN.test(path) && !path.startsWith("/dev/shm"));
  if (own !== undefined) throw invalid(`Cannot mount at "${own}": the machine needs it itself`);
  const names = volumes.map(({ volume }) => volume);
  const again = names.find((name, index) => names.indexOf(name) !== index);
  if (again !== undefined) throw invalid(`Cannot mount volume "${again}" twice in one machine`);
  if (shares.length > 0 && idleSuspend_ms) {
    throw invalid("conflicting options: --idle-suspend and a directory of the host", {
      hint: "A machine that shares a directory cannot be suspended; use a volume: -v NAME:/path",
    });
  }
  if (guest?.readOnly && mode === "systemd") {
    throw invalid("conflicting options: --read-only and systemd, which writes to /etc and /var", {
      hint: "Use --mode direct",
    });
  }
  const swap_bytes = guest?.swap_bytes ?? 0;
  if (swap_bytes + 16 * MiB > disk_bytes) {
    throw invalid(
      `Cannot have ${formatSize(swap_bytes)} of swap on a disk of ${formatSize(disk_bytes)}`,
      { hint: "Use a larger --disk" },
    );
  }
  return {
    ...(volumes.length > 0
      ? { volumes: volumes.map((each) => ({ ...each, path: plain(each.path) })) }
      : {}),
    ...(shares.length > 0 ? { shares: shares.map((each) => checkedShare(each)) } : {}),
    ...(guest && Object.values(guest).some((value) => value !== undefined) ? { guest } : {}),
  };
}

function checkedShare(share: NonNullable<VmCreate["shares"]>[number]) {
  return { ...share, source: requireDirectory(share.source), path: plain(share.path) };
}

/** Without "." and empty parts. `invalid_argument` for one with "..". */
function plain(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw invalid(`invalid path "${path}": it has ".."`);
  return `/${parts.join("/")}`;
}

function invalid(message: string, options?: { hint: string }): BangerError {
  return new BangerError("invalid_argument", message, options);
}
