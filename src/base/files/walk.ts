/** Everything below a folder. The runtime's own recursive listing follows symbolic links, in circles if need be. */
import { type Dirent, readdirSync } from "node:fs";
import { join } from "node:path";

export interface Found {
  /** Below the folder, "boot/a.ko". */
  path: string;
  entry: Dirent;
}

/** A folder before what is in it, in the order of names as bytes. Links are named, not followed. */
export function* walk(folder: string, prefix = ""): Generator<Found> {
  const entries = readdirSync(join(folder, prefix), { withFileTypes: true });
  const bytes = (entry: Dirent): Buffer => Buffer.from(entry.name);
  for (const entry of entries.sort((a, b) => Buffer.compare(bytes(a), bytes(b)))) {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    yield { path, entry };
    if (entry.isDirectory()) yield* walk(folder, path);
  }
}
