/** Finds the Git LFS objects that the pointer files of an index reference. */
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { git } from "./git.ts";
import type { IndexEntry } from "./index-file.ts";
import type { Repository } from "./source.ts";

const POINTER_MIN_BYTES = 100;
const POINTER_MAX_BYTES = 1024;
const POINTER =
  /^version https:\/\/git-lfs\.github\.com\/spec\/v1\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\n/;

/** Paths below the repository's `lfs/objects`. */
export async function lfsObjects(
  repository: Repository,
  index: readonly IndexEntry[],
): Promise<string[]> {
  const store = join(repository.commonDir, "lfs/objects");
  if (!lstatSync(store, { throwIfNoEntry: false })?.isDirectory()) return [];
  const ids = new Set(index.filter(({ mode }) => mode !== 0o160000).map(({ id }) => id));
  const sizes = await git(
    repository.git,
    ["cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer"],
    { stdin: `${[...ids].join("\n")}\n` },
  );
  const small = sizes.stdout.split("\n").flatMap((line) => {
    const [id = "", size] = line.split(" ");
    const bytes = Number(size);
    return bytes >= POINTER_MIN_BYTES && bytes <= POINTER_MAX_BYTES ? [id] : [];
  });
  if (small.length === 0) return [];
  const blobs = await git(repository.git, ["cat-file", "--batch=", "--buffer"], {
    stdin: `${small.join("\n")}\n`,
  });
  const found = new Set<string>();
  for (const part of blobs.stdout.split("\nversion ")) {
    const text = `version ${part.replace(/^\n?version /, "")}`;
    const id = POINTER.exec(text)?.[1];
    if (!id) continue;
    const path = `${id.slice(0, 2)}/${id.slice(2, 4)}/${id}`;
    if (lstatSync(join(store, path), { throwIfNoEntry: false })?.isFile()) found.add(path);
  }
  return [...found];
}
