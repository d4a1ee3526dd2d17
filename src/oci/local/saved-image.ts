/**
 * Opens a saved image in either format, OCI layout or docker-archive. docker with the containerd store saves layouts,
 * newer versions write both, and users confuse the two.
 */

import type { OpenedImage } from "#oci/image.ts";
import { openDockerArchive } from "./docker-archive.ts";
import type { FileTree } from "./file-tree.ts";
import { type LocalOptions, openLayout } from "./layout.ts";

/** `prefers` decides if both formats are present. */
export async function openSaved(
  tree: FileTree,
  options: LocalOptions & { prefers?: "layout" | "docker-archive" },
): Promise<OpenedImage> {
  const prefersLayout = options.prefers === "layout";
  const has = async (name: string): Promise<boolean> => (await tree.size(name)) !== undefined;
  const [isLayout, isDocker] = [await has("oci-layout"), await has("manifest.json")];
  const takesLayout = isLayout === isDocker ? prefersLayout : isLayout;
  return takesLayout ? await openLayout(tree, options) : await openDockerArchive(tree, options);
}
