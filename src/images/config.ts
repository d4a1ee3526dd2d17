/** What the image record keeps of an OCI config: what running a machine of it needs, without empty fields. */
import type { ImageConfig } from "#api/image.ts";
import type { ImageConfig as OciConfig } from "#oci/image-config.ts";

export function keptConfig(config: OciConfig): ImageConfig {
  const { entrypoint, cmd, env, workdir, user, exposedPorts, labels, stopSignal } = config;
  const kept = { entrypoint, cmd, env, workdir, user, exposedPorts, labels, stopSignal };
  return Object.fromEntries(
    Object.entries(kept).filter(([, value]) => Object.keys(value).length > 0),
  ) as ImageConfig;
}
