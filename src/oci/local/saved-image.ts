/**
 * Images in a folder or an archive, whichever of the two forms it has: docker with containerd's store saves
 * layouts, newer ones of its own store both, and people name either by the other's name.
 */

import type { OpenedImage } from "#oci/image.ts";
import { openDockerArchive } from "./docker-archive.ts";
import type { FileTree } from "./file-tree.ts";
import { type LocalOptions, openLayout } from "./layout.ts";

/** What is there in both forms is read in that of `prefers`. */
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
