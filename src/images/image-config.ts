/** The part of an OCI config that the image record keeps: the fields for running a machine, without empty ones. */
import type { ImageConfig } from "#api/image.ts";
import type { ImageConfig as OciConfig } from "#oci/image-config.ts";

export function toImageConfig(config: OciConfig): ImageConfig {
  const { platform: _p, created: _c, history: _h, diffIds: _d, ...kept } = config;
  return withoutEmpty(kept);
}

export function withoutEmpty(
  config: { [Field in keyof ImageConfig]: ImageConfig[Field] | undefined },
): ImageConfig {
  return Object.fromEntries(
    Object.entries(config).filter(
      ([, value]) => value !== undefined && Object.keys(value).length > 0,
    ),
  ) as ImageConfig;
}
