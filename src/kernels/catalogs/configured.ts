/** Catalogs that the configuration names: `kernel.catalogs` of config.toml. */
import { isAbsolute } from "node:path";
import { BangerError } from "#base/error.ts";
import { nameSchema } from "#kernels/manifest.ts";
import { type CatalogAddress, isRemote } from "./record.ts";

/** "NAME=FILE", "NAME=FILE KEY" or "NAME=URL KEY", by name. `invalid_argument` for what is none of these. */
export function parseConfiguredCatalogs(
  entries: readonly string[],
): ReadonlyMap<string, CatalogAddress> {
  const catalogs = new Map<string, CatalogAddress>();
  for (const entry of entries) {
    const { groups } = /^(?<name>[^=]+)=(?<from>\S+)(?:\s+(?<key>\S+))?$/.exec(entry.trim()) ?? {};
    const { name = "", from = "", key } = groups ?? {};
    if (!nameSchema.safeParse(name).success || !(isAbsolute(from) || isRemote(from))) {
      throw refuse(entry, "it is not a name with an absolute path or a URL");
    }
    if (catalogs.has(name)) throw refuse(entry, "its name is there twice");
    catalogs.set(name, { from, key });
  }
  return catalogs;
}

function refuse(entry: string, why: string): BangerError {
  const text = `Cannot use catalog "${entry.slice(0, 200)}" of the configuration: ${why}`;
  return new BangerError("invalid_argument", text, {
    hint: 'Write "NAME=/FILE", or "NAME=https://… KEY"',
  });
}
