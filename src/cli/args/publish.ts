/** The directory in which kernels are published: from the flags, else from the configuration. */
import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import { type Config, resolveConfig } from "#config/resolve.ts";
import { absoluteDestination } from "./destination.ts";

type ConfigKey = keyof Config["values"];

interface PublishFlags {
  to: string | undefined;
  url?: string | undefined;
  catalog: string | undefined;
  key: string | undefined;
}

export async function publishTarget(flags: PublishFlags) {
  const { values } = await resolveConfig();
  const optional = (given: string | undefined, key: ConfigKey): string | undefined =>
    given ?? (String(values[key]) || undefined);
  const required = (given: string | undefined, flag: string, key: ConfigKey): string => {
    const value = optional(given, key);
    if (value !== undefined) return value;
    throw new BangerError("invalid_argument", `missing ${flag}, and ${key} is not configured`, {
      hint: `Pass ${flag}, or set ${key} in the configuration file ($EDITOR $(banger config path))`,
    });
  };
  const key = optional(flags.key, "kernel.publish_key");
  return {
    to: absoluteDestination(required(flags.to, "--to", "kernel.publish_to")),
    catalog: resolve(required(flags.catalog, "--catalog", "kernel.publish_catalog")),
    key: key === undefined ? undefined : resolve(key),
    /** Public address of `to`. */
    url: () => required(flags.url, "--url", "kernel.publish_url"),
  };
}
