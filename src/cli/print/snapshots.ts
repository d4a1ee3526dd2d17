/** How snapshots look as text. */
import type { Snapshot } from "#api/snapshot.ts";
import { formatSize, MiB } from "#base/size.ts";
import { ago } from "./ago.ts";
import { pairs, table } from "./table.ts";

export function snapshotTable(snapshots: readonly Snapshot[]): string {
  return table(
    ["NAME", "MACHINE", "IMAGE", "CONTENT", "SIZE", "CREATED"],
    snapshots.map((each) => [
      each.name,
      each.machine,
      each.image,
      contentOf(each),
      formatSize(each.size_bytes),
      ago(each.createdAt),
    ]),
  );
}

export function snapshotText(snapshot: Snapshot): string {
  return pairs([
    ["Name", snapshot.name],
    ["Machine", snapshot.machine],
    ["Image", snapshot.image],
    ["Kernel", snapshot.kernel],
    ["Mode", snapshot.mode],
    ["Content", contentOf(snapshot)],
    ["VMM", snapshot.driver],
    ["CPUs", String(snapshot.cpus)],
    ["Memory", formatSize(snapshot.memory_mib * MiB)],
    ["Disk", formatSize(snapshot.disk_bytes)],
    ["Network", snapshot.network],
    ["Size", formatSize(snapshot.size_bytes)],
    ["Created", ago(snapshot.createdAt)],
  ]);
}

export function pauseText(name: string, pause_ms: number): string {
  return `${name} was paused for ${Math.ceil(pause_ms)} ms`;
}

function contentOf({ memory }: Snapshot): string {
  return memory ? "disk, memory" : "disk";
}
