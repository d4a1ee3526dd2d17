/** Prints kernels and catalogs. */
import type { CatalogEntry, KernelCatalog } from "#api/kernel.ts";
import { formatSize } from "#base/size.ts";
import { ago } from "./ago.ts";
import { table } from "./table.ts";

const sources: Record<string, string> = {
  debian: "Debian package",
  tarball: "download",
  recipe: "build here",
};

export function catalogTable(entries: readonly CatalogEntry[]): string {
  return table(
    ["NAME", "VERSION", "ARCH", "SIZE", "SOURCE", "HERE", "FEATURES"],
    entries.map((entry) => [
      entry.name,
      entry.version ?? "-",
      entry.arch,
      entry.size_bytes === undefined ? "-" : formatSize(entry.size_bytes),
      sources[entry.source] ?? entry.source,
      entry.outdated ? "outdated" : entry.pulled ? "yes" : "no",
      featureText(entry.features),
    ]),
  );
}

export function catalogsTable(catalogs: readonly KernelCatalog[]): string {
  return table(
    ["NAME", "KERNELS", "FROM", "KEY", "UPDATED", "STATE"],
    catalogs.map((catalog) => [
      catalog.name,
      String(catalog.kernels),
      catalog.from,
      catalog.keyId ?? "-",
      catalog.updatedAt === undefined ? "-" : ago(catalog.updatedAt),
      catalog.problem ?? "ok",
    ]),
  );
}

/** What tells kernels apart; `kernel show` and `--json` have all of it. */
const TELLING = ["containers", "wireguard", "nftables", "fuse", "vsock", "ip-pnp"];

function featureText(features: readonly string[]): string {
  const shown = TELLING.filter((name) => features.includes(name));
  const more = features.length - shown.length;
  if (features.length === 0) return "-";
  return `${shown.join(" ")}${more > 0 ? ` +${more}` : ""}`.trim();
}
