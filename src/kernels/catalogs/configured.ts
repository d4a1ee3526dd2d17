/** Parses `kernel.catalogs` of config.toml. */
import { isAbsolute } from "node:path";
import { BangerError } from "#base/error.ts";
import { nameSchema } from "#kernels/manifest.ts";
import { type CatalogAddress, isRemote } from "./record.ts";

/** "NAME=FILE", "NAME=FILE KEY" or "NAME=URL KEY", by name. `invalid_argument` for anything else. */
export function parseConfiguredCatalogs(
  entries: readonly string[],
): ReadonlyMap<string, CatalogAddress> {
  const catalogs = new Map<string, CatalogAddress>();
  for (const entry of entries) {
    const { groups } = /^(?<name>[^=]+)=(?<from>\S+)(?:\s+(?<key>\S+))?$/.exec(entry.trim()) ?? {};
    const { name = "", from = "", key } = groups ?? {};
    if (!nameSchema.safeParse(name).success || !(isAbsolute(from) || isRemote(from))) {
      throw refuse(entry, "not a name with an absolute path or URL");
    }
    if (catalogs.has(name)) throw refuse(entry, "duplicate name");
    catalogs.set(name, { from, key });
  }
  return catalogs;
}

function refuse(entry: string, why: string): BangerError {
  const text = `invalid catalog "${entry.slice(0, 200)}" in the configuration: ${why}`;
  return new BangerError("invalid_argument", text, {
    hint: 'Use "NAME=/FILE", or "NAME=https://… KEY"',
  });
}
