/**
 * Takes the objects of a repository in a machine into a scratch repository. Loose objects are unpacked and hashed
 * here, packs by git index-pack; whether they make sense is checked before they reach the user's repository.
 */
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { inflateSync } from "node:zlib";
import { BangerError } from "#base/error.ts";
import { type TreeEntry, TYPE_FILE, typeOf } from "#base/files/tree-records.ts";
import { formatSize, GiB, MiB } from "#base/size.ts";
import { type Git, git, gitError } from "#workspace/git/git.ts";
import { existing } from "#workspace/git/state.ts";
import { objectId } from "#workspace/git/worktree-tree.ts";
import { joinName } from "#workspace/names.ts";
import { fetchFiles } from "./files.ts";
import type { GuestPort } from "./port.ts";

export const OBJECTS_MAX_BYTES = 4 * GiB;
const LOOSE_MAX_BYTES = 256 * MiB;
const LOOSE_MAX = 200_000;
const PACKS_MAX = 1000;

export interface ObjectsRequest {
  path: string;
  /** Of the repository, relative to the workspace. */
  root: string;
  tree: ReadonlyMap<string, TreeEntry>;
  /** A scratch directory. */
  folder: string;
  hash: "sha1" | "sha256";
  /** Also packs of imports, whose objects the host has. */
  includeKept: boolean;
  max_bytes: number;
}

export async function takeObjects(
  guest: GuestPort,
  scratch: Git,
  request: ObjectsRequest,
): Promise<void> {
  const { path, tree, folder, max_bytes } = request;
  const objects = `${joinName(request.root, ".git")}/objects`;
  const loose = await looseObjects(scratch, tree, objects);
  const packs = [...tree.keys()].filter((name) =>
    isWantedPack(tree, name, { objects, ...request }),
  );
  if (packs.length > PACKS_MAX) throw tooMuch(`more than ${PACKS_MAX} packs`);
  const names = [...loose.keys(), ...packs].filter(
    (name) => typeOf(tree.get(name) ?? { mode: 0 }) === TYPE_FILE,
  );
  const total = names.reduce((sum, name) => sum + (tree.get(name)?.size ?? 0), 0);
  if (total > max_bytes) {
    throw tooMuch(
      `its new objects take ${formatSize(total)}, and at most ${formatSize(max_bytes)} are fetched`,
    );
  }
  const got = await fetchFiles(guest, { path, names, folder, max_bytes });
  for (const [name, id] of loose)
    if (got.has(name)) takeLoose(scratch, join(folder, name), { id, ...request });
  for (const name of packs)
    if (got.has(name)) await takePack(scratch, join(folder, name), max_bytes);
}

/** Those that the host does not have, by name. */
async function looseObjects(
  scratch: Git,
  tree: ReadonlyMap<string, TreeEntry>,
  objects: string,
): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for (const name of tree.keys()) {
    if (!name.startsWith(`${objects}/`)) continue;
    const match = /^([0-9a-f]{2})\/([0-9a-f]{38}|[0-9a-f]{62})$/.exec(
      name.slice(objects.length + 1),
    );
    if (match) all.set(name, `${match[1]}${match[2]}`);
  }
  const known = new Set(await existing(scratch, [...all.values()]));
  for (const [name, id] of all) if (known.has(id)) all.delete(name);
  if (all.size > LOOSE_MAX) throw tooMuch(`more than ${LOOSE_MAX} new loose objects`);
  return all;
}

function isWantedPack(
  tree: ReadonlyMap<string, TreeEntry>,
  name: string,
  { objects, includeKept }: { objects: string; includeKept: boolean },
): boolean {
  const stem = name.slice(0, -".pack".length);
  if (!name.startsWith(`${objects}/pack/`) || !/\/pack-[0-9a-f]{40,64}\.pack$/.test(name))
    return false;
  return includeKept || !tree.has(`${stem}.keep`);
}

function takeLoose(
  scratch: Git,
  path: string,
  { id, hash }: { id: string; hash: "sha1" | "sha256" },
): void {
  const bytes = readFileSync(path);
  let whole: Buffer;
  try {
    whole = inflateSync(bytes, { maxOutputLength: LOOSE_MAX_BYTES });
  } catch (error) {
    throw new BangerError("guest", `Cannot fetch object ${id} from the machine: ${error}`);
  }
  const zero = whole.indexOf(0);
  const match = /^(commit|tree|blob|tag) (\d{1,15})$/.exec(
    whole.toString("latin1", 0, Math.min(zero, 40)),
  );
  const body = whole.subarray(zero + 1);
  const isRight =
    match && Number(match[2]) === body.length && objectId(body, match[1] ?? "", hash) === id;
  if (!isRight)
    throw new BangerError("integrity", `Cannot fetch object ${id} from the machine: wrong content`);
  const place = join(scratch.gitDir, "objects", id.slice(0, 2), id.slice(2));
  mkdirSync(dirname(place), { recursive: true });
  writeFileSync(place, bytes);
}

async function takePack(scratch: Git, path: string, max_bytes: number): Promise<void> {
  if (statSync(path).size > max_bytes) throw tooMuch("a pack is too large");
  const place = join(scratch.gitDir, "objects/pack", path.slice(path.lastIndexOf("/") + 1));
  renameSync(path, place);
  const indexed = await git(scratch, ["index-pack", place]);
  if (indexed.exitCode !== 0) throw gitError("Cannot fetch a pack from the machine", indexed);
}

function tooMuch(what: string): BangerError {
  return new BangerError("limit_exceeded", `Cannot fetch from the machine: ${what}`, {
    hint: "Raise the limit with --max-size, or export single files with: banger vm cp",
  });
}
