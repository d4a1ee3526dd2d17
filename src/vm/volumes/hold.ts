/** Who has a volume: one machine that writes, or any number of machines that read. */
import type { Database } from "bun:sqlite";
import type { VolumeMount } from "#api/mount/mount.ts";
import { BangerError } from "#base/error.ts";
import { listVms, type VmRecord } from "#vm/records.ts";

/** Nothing of such a machine runs, or sleeps. */
const IDLE = /^(creating|stopped|removing)$/;

/**
 * For a machine that is about to start, in the transaction in which it does. A suspended one has its volumes as well:
 * its memory holds what it knows of them. `conflict`, with the name of who has one.
 */
export function assertVolumesFree(db: Database, { id, name, spec }: VmRecord): void {
  const { volumes } = spec;
  if (!volumes || volumes.length === 0) return;
  const others = listVms(db).filter((other) => other.id !== id && !IDLE.test(other.state));
  for (const wanted of volumes) {
    const holder = others.find((other) => other.spec.volumes?.some((had) => collide(had, wanted)));
    if (holder) throw taken(name, wanted, holder);
  }
}

/** Machines that run or sleep with it, those that write first. */
export function holdersOf(db: Database, volume: string): VmRecord[] {
  const modeOf = ({ spec }: VmRecord) => spec.volumes?.find((each) => each.volume === volume);
  return listVms(db)
    .filter((vm) => modeOf(vm) && !IDLE.test(vm.state))
    .toSorted(
      (a, b) => Number(modeOf(a)?.readOnly ?? false) - Number(modeOf(b)?.readOnly ?? false),
    );
}

function collide(had: VolumeMount, wanted: VolumeMount): boolean {
  return had.volume === wanted.volume && !(had.readOnly && wanted.readOnly);
}

function taken(name: string, wanted: VolumeMount, holder: VmRecord): BangerError {
  const { volume } = wanted;
  const had = holder.spec.volumes?.find((each) => each.volume === volume);
  const how = had?.readOnly ? "mounted read-only by" : "in use by";
  const hint = wanted.readOnly
    ? `A volume has one writer or many readers; stop the writer first: banger vm stop ${holder.name}`
    : `Stop that machine first: banger vm stop ${holder.name}; for readers: -v ${volume}:/path:ro on all of them`;
  return new BangerError(
    "conflict",
    `Cannot start "${name}": volume "${volume}" is ${how} machine "${holder.name}", which is ${holder.state}`,
    { hint },
  );
}

/** `invalid_state` for a machine whose memory cannot go on elsewhere: its volumes would change under it. */
export function assertMemoryAlone(
  { name, spec }: VmRecord,
  { verb, readers }: { verb: "snapshot" | "fork" | "suspend"; readers?: boolean },
): void {
  const what = (spec.shares?.length ?? 0) > 0 ? "shares a directory of the host" : undefined;
  const volumes = (spec.volumes ?? []).filter(({ readOnly }) => !(readers && readOnly));
  const mounts =
    verb !== "suspend" && volumes.length > 0
      ? `mounts volume "${volumes.map(({ volume }) => volume).join('", "')}"`
      : undefined;
  const why = what ?? mounts;
  if (!why) return;
  throw new BangerError("invalid_state", `Cannot ${verb} machine "${name}": it ${why}`, {
    hint: hintFor(verb, name),
  });
}

function hintFor(verb: string, name: string): string {
  switch (verb) {
    case "snapshot":
      return `Save its own disk alone: banger vm snapshot create --disk-only ${name}`;
    case "fork":
      return `Copy it while it is stopped: banger vm stop ${name}, then banger vm clone ${name}`;
    default:
      return `Pause it instead: banger vm pause ${name}, or stop it: banger vm stop ${name}`;
  }
}
