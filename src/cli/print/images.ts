/** Prints images. */
import type { ImageCatalogEntry, ImageOutdated, ImageStep } from "#api/image.ts";
import type { ImageGcResult, ImageUsage } from "#api/image-space.ts";
import { formatSize } from "#base/size.ts";
import { pairs, table } from "./table.ts";

const DIGEST_SHOWN_CHARS = "sha256:".length + 12;

export function imageCatalogTable(entries: readonly ImageCatalogEntry[]): string {
  return table(
    ["NAME", "ALSO", "KERNEL", "PULLED", "SOURCE", "DESCRIPTION"],
    entries.map((entry) => [
      entry.name,
      entry.aliases.join(" ") || "-",
      entry.kernel ?? "-",
      entry.pulled ? "yes" : "no",
      entry.source,
      entry.description,
    ]),
  );
}

export function historyTable(steps: readonly ImageStep[]): string {
  return table(
    ["CREATED", "SIZE", "LAYER", "STEP"],
    steps.map(({ created, createdBy, comment, layer }) => [
      created || "-",
      layer ? formatSize(layer.size_bytes) : "-",
      layer ? shorten(layer.digest) : "-",
      createdBy || comment || "-",
    ]),
  );
}

export function outdatedTable(states: readonly ImageOutdated[]): string {
  return table(
    ["NAME", "STATE", "REFERENCE", "HERE", "THERE"],
    states.map(({ name, state, reference, digest, latest, problem }) => [
      name,
      state,
      reference,
      shorten(digest),
      problem ?? (latest ? shorten(latest) : "-"),
    ]),
  );
}

export function usageText(usage: ImageUsage): string {
  const rows = usage.images.map((image) => [
    image.name,
    image.managed ? "yes" : "no",
    formatSize(image.size_bytes),
    formatSize(image.allocated_bytes),
    formatSize(image.shared_bytes),
    String(image.machines),
  ]);
  const totals = pairs([
    ["Images", formatSize(usage.images_bytes)],
    ["Cache", formatSize(usage.cache_bytes)],
    ["Build cache", formatSize(usage.builds_bytes)],
    ["Templates", formatSize(usage.templates_bytes)],
    ["Snapshots", formatSize(usage.snapshots_bytes)],
    ["Volumes", formatSize(usage.volumes_bytes)],
    ["Reclaimable", formatSize(usage.reclaimable_bytes)],
  ]);
  if (rows.length === 0) return totals;
  return `${table(["NAME", "MANAGED", "SIZE", "ON DISK", "SHARED", "MACHINES"], rows)}\n\n${totals}`;
}

export function gcText(result: ImageGcResult, isDryRun: boolean): string {
  const { images, layers, blobs, steps, templates, partials, orphans, freed_bytes } = result;
  const verb = isDryRun ? "Would free" : "Freed";
  return `${verb} ${formatSize(freed_bytes)}: ${images} replaced images, ${layers} provisioned layers, ${blobs} blobs, ${steps} steps of builds, ${templates} templates, ${partials} unfinished transfers, ${orphans} orphaned files`;
}

function shorten(digest: string): string {
  return digest.slice(0, DIGEST_SHOWN_CHARS);
}
