/** A folder for one archive on its way to an image. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Scratch extends Disposable {
  /** Does not exist yet. */
  file: string;
}

/** `wanted`: a folder, which need not exist; default: one below the system's. Disposing of it removes the folder. */
export function openScratch(wanted: string | undefined): Scratch {
  if (wanted !== undefined) mkdirSync(wanted, { recursive: true, mode: 0o700 });
  const folder = wanted ?? mkdtempSync(join(tmpdir(), "banger-export-"));
  return {
    file: join(folder, "image.tar"),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
