/** A snapshot as clients see it, and the image that it needs. */
import type { Image } from "#api/image.ts";
import type { Snapshot } from "#api/snapshot.ts";
import type { SnapshotRecord } from "#snapshots/record.ts";
import type { StoredSnapshot } from "#snapshots/snapshots.ts";
import type { VmDeps } from "#vm/deps.ts";

export function toSnapshot({ name, record, size_bytes }: StoredSnapshot): Snapshot {
  const { machine, image, kernel, spec, memory, createdAt, token, labels } = record;
  const { mode, cpus, memory_mib, disk_bytes, network } = spec;
  return {
    name,
    machine: machine.name,
    machineId: machine.id,
    image: image.name,
    kernel,
    mode,
    cpus,
    memory_mib,
    disk_bytes,
    network,
    memory: memory !== undefined,
    driver: memory?.driver,
    createdAt,
    token,
    labels,
    size_bytes,
  };
}

/** Found by ID, or on another host by its content. */
export function imageOf({ images }: VmDeps, { image }: SnapshotRecord): Image | undefined {
  const all = images.list();
  const same = all.find(({ id }) => id === image.id);
  return same ?? all.find(({ digest }) => digest !== undefined && digest === image.digest);
}
