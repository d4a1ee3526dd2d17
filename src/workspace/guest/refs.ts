/** Branches, tags and HEAD of a repository in a machine, from its files. The names are the guest's, and are checked. */
import { BangerError } from "#base/error.ts";
import type { TreeEntry } from "#base/files/tree-records.ts";
import { TYPE_FILE, typeOf } from "#base/files/tree-records.ts";
import { joinName } from "#workspace/names.ts";
import { readSmallFiles } from "./files.ts";
import type { GuestPort } from "./port.ts";

const REFS_MAX = 20_000;
const ID = /^([0-9a-f]{40}|[0-9a-f]{64})$/;
const SYMBOLIC_MAX = 5;

export interface GuestRefs {
  /** Undefined on an unborn branch. */
  head: string | undefined;
  /** Full name; undefined if HEAD is detached. */
  branch: string | undefined;
  /** By full name, valid names only. */
  refs: Map<string, string>;
  /** Names that git would not accept. */
  refused: string[];
}

/** `root`: of the repository, relative to the workspace at `path`, "" for the workspace itself. */
export async function readGuestRefs(
  guest: GuestPort,
  path: string,
  { root, tree }: { root: string; tree: ReadonlyMap<string, TreeEntry> },
): Promise<GuestRefs> {
  const gitDir = joinName(root, ".git");
  const loose = [...tree.keys()].filter(
    (name) =>
      name.startsWith(`${gitDir}/refs/`) && typeOf(tree.get(name) ?? { mode: 0 }) === TYPE_FILE,
  );
  if (loose.length > REFS_MAX) throw tooMany();
  const packed = `${gitDir}/packed-refs`;
  const files = await readSmallFiles(guest, path, [`${gitDir}/HEAD`, packed, ...loose]);
  const values = new Map<string, string>();
  for (const line of (files.get(packed)?.toString("latin1") ?? "").split("\n")) {
    const [id = "", name = ""] = line.split(" ");
    if (ID.test(id) && name !== "") values.set(name, id);
  }
  if (values.size > REFS_MAX) throw tooMany();
  for (const name of loose) {
    const text = files.get(name)?.toString("latin1").trim();
    if (text !== undefined) values.set(name.slice(gitDir.length + 1), text);
  }
  const refs = new Map<string, string>();
  const refused: string[] = [];
  for (const name of values.keys()) {
    const id = resolve(values, name);
    if (!isValidRef(name)) refused.push(name);
    else if (id) refs.set(name, id);
  }
  const text = files.get(`${gitDir}/HEAD`)?.toString("latin1").trim() ?? "";
  const branch = /^ref: (\S+)$/.exec(text)?.[1];
  if (branch !== undefined && !isValidRef(branch)) {
    throw new BangerError("guest", "Cannot read the workspace: HEAD in the machine is not valid");
  }
  const head = branch ? refs.get(branch) : ID.test(text) ? text : undefined;
  return { head, branch, refs, refused };
}

function resolve(values: ReadonlyMap<string, string>, name: string): string | undefined {
  let text = values.get(name);
  for (let at = 0; at < SYMBOLIC_MAX && text?.startsWith("ref: "); at++) {
    text = values.get(text.slice("ref: ".length));
  }
  return text !== undefined && ID.test(text) ? text : undefined;
}

/** As git check-ref-format, and no control or non-ASCII byte that a terminal or file system could misread. */
export function isValidRef(name: string): boolean {
  if (!name.startsWith("refs/") || name.length > 240 || /[^\x21-\x7e\x80-\xff]/.test(name))
    return false;
  if (/[~^:?*[\\]|\.\.|@\{|\/\/|\/$|\.$/.test(name)) return false;
  return name
    .split("/")
    .every((part) => part !== "" && !part.startsWith(".") && !part.endsWith(".lock"));
}

function tooMany(): BangerError {
  return new BangerError("limit_exceeded", `Cannot read the workspace: more than ${REFS_MAX} refs`);
}
