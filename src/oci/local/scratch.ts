/** Opens images from a temporary file: an exported or decompressed archive. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OpenedImage } from "#oci/image.ts";

/**
 * `open` writes the file at the path that it gets, and opens the image in it. The directory, which need not exist, is
 * deleted with the image, or if opening fails. Default: one below the system's.
 */
export async function openFromScratch(
  directory: string | undefined,
  open: (path: string) => Promise<OpenedImage>,
): Promise<OpenedImage> {
  if (directory !== undefined) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const scratch = directory ?? mkdtempSync(join(tmpdir(), "banger-export-"));
  const remove = (): void => rmSync(scratch, { recursive: true, force: true });
  try {
    const image = await open(join(scratch, "image.tar"));
    return {
      ...image,
      async [Symbol.asyncDispose]() {
        await image[Symbol.asyncDispose]();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
