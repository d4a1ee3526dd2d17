/** Media types of the OCI image specification 1.1 and of Docker's image manifest version 2, schema 2. */

export const manifestTypes: readonly string[] = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

export const indexTypes: readonly string[] = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];

export const configTypes: readonly string[] = [
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
  // Used by registries and clients of 2015 and 2016, and still accepted by docker.
  "application/octet-stream",
  "application/json",
  "text/html",
  "",
];

const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";
export const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";

/** Layers that are a tar, plain or compressed; the compression is detected from the content. */
export const layerTypes: readonly string[] = [
  OCI_LAYER,
  `${OCI_LAYER}+gzip`,
  `${OCI_LAYER}+zstd`,
  OCI_FOREIGN_LAYER,
  `${OCI_FOREIGN_LAYER}+gzip`,
  `${OCI_FOREIGN_LAYER}+zstd`,
  DOCKER_LAYER,
  `${DOCKER_LAYER}.gzip`,
  `${DOCKER_LAYER}.zstd`,
  "application/vnd.docker.image.rootfs.foreign.diff.tar",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  "application/vnd.docker.container.image.rootfs.diff+x-gtar",
  "application/octet-stream",
  "",
];

export function isSchema1(mediaType: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/.test(mediaType);
}

/** "application/json; charset=utf-8" → "application/json". */
export function bareType(contentType: string): string {
  return (contentType.split(";")[0] ?? "").trim().toLowerCase();
}
