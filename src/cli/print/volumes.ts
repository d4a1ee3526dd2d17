/** Prints volumes and mounts. */
import type { GuestOptions, Volume } from "#api/mount/mount.ts";
import type { Vm } from "#api/vm.ts";
import { formatSize } from "#base/size.ts";
import { ago } from "./ago.ts";
import { pairs, table } from "./table.ts";

export function volumeTable(volumes: readonly Volume[]): string {
  return table(
    ["NAME", "SIZE", "ON DISK", "MACHINES", "CREATED"],
    volumes.map(({ name, size_bytes, allocated_bytes, machines, createdAt }) => [
      name,
      formatSize(size_bytes),
      formatSize(allocated_bytes),
      machines.join(", ") || "-",
      ago(createdAt),
    ]),
  );
}

export function volumeText(volume: Volume): string {
  return pairs([
    ["Name", volume.name],
    ["Size", `${formatSize(volume.size_bytes)}, ${formatSize(volume.allocated_bytes)} on disk`],
    ["Machines", volume.machines.join(", ") || "none"],
    ["Created", `${volume.createdAt} (${ago(volume.createdAt)})`],
  ]);
}

/** "pgdata:/var/lib/data, /home/me/src:/src:ro". */
export function mountsText({ volumes = [], shares = [] }: Vm): string | undefined {
  const texts = [
    ...volumes.map((each) => ({ from: each.volume, ...each })),
    ...shares.map((each) => ({ from: each.source, ...each })),
  ].map(({ from, path, readOnly }) => `${from}:${path}${readOnly ? ":ro" : ""}`);
  return texts.length > 0 ? texts.join(", ") : undefined;
}

/** "tmpfs /tmp, read-only root, swap 1 GiB". */
export function guestText(guest: GuestOptions | undefined): string | undefined {
  if (!guest) return undefined;
  const { tmpfs = [], shm_bytes, swap_bytes, readOnly, sysctls = {}, ulimits = [] } = guest;
  const limit = (value: number): string => (value === -1 ? "unlimited" : String(value));
  const texts = [
    ...(readOnly ? ["read-only root"] : []),
    ...tmpfs.map(({ path }) => `tmpfs ${path}`),
    ...(shm_bytes === undefined ? [] : [`/dev/shm ${formatSize(shm_bytes)}`]),
    ...(swap_bytes === undefined ? [] : [`swap ${formatSize(swap_bytes)}`]),
    ...Object.entries(sysctls).map(([name, value]) => `${name}=${value}`),
    ...ulimits.map(({ name, soft, hard }) => `${name} ${limit(soft)}:${limit(hard)}`),
  ];
  return texts.join(", ");
}
