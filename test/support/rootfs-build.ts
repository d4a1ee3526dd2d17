/** Builds images from tar entries in a temporary directory, and reads them back. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "#base/digest.ts";
import type { ErrorCode } from "#base/error.ts";
import { modes } from "#ext4/format.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import { bangerErrorOf } from "./expect-error.ts";
import { makeLayer, makeTar, type TarSpec } from "./tar-build.ts";

/** Layers bottom first, each a list of entries. The reader outlives the file. */
export async function build(...layers: TarSpec[][]): Promise<Ext4Reader> {
  const folder = mkdtempSync(join(tmpdir(), "banger-rootfs-"));
  try {
    const path = join(folder, "image");
    await buildRootfs(layersOf(layers), { path, seed: sha256("seed") });
    return openExt4(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Every path with what it is: "dir", "= content", "-> target" or a type in octal. */
export function listing(reader: Ext4Reader): Record<string, string> {
  const result: Record<string, string> = {};
  const visit = (path: string): void => {
    for (const { name, inode } of reader.list(path)) {
      const below = `${path}/${Buffer.from(name).toString("latin1")}`;
      const stat = reader.inode(inode);
      if (stat.type === modes.DIRECTORY) {
        result[below] = "dir";
        visit(below);
      } else if (stat.type === modes.REGULAR) {
        result[below] = `= ${Buffer.from(reader.readFile(below)).toString()}`;
      } else if (stat.type === modes.SYMLINK) {
        result[below] = `-> ${Buffer.from(reader.targetOf(stat)).toString()}`;
      } else {
        result[below] = stat.type.toString(8);
      }
    }
  };
  visit("");
  return result;
}

export async function listingOf(...layers: TarSpec[][]): Promise<Record<string, string>> {
  using reader = await build(...layers);
  return listing(reader);
}

/** The layers are refused in these words. */
export async function expectRefusal(
  layers: TarSpec[][],
  code: ErrorCode,
  message: RegExp,
): Promise<void> {
  const error = await bangerErrorOf(build(...layers));
  expect(error.code).toBe(code);
  expect(error.message).toMatch(message);
}

function layersOf(layers: TarSpec[][]) {
  return layers.map((specs) => makeLayer(makeTar(specs)));
}
