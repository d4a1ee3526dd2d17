/** Resolves the sources of COPY and ADD: paths and patterns in the context, in a stage or in an image. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { compileGlob, decodeName, hasWildcard } from "./glob.ts";
import { PatternList } from "./patterns.ts";
import { resolveSource, type Source } from "./source.ts";
import { shownPath } from "./target.ts";

/** A path as written, and the resolved path. */
export interface Found {
  kind: "found";
  source: Source;
  name: string;
  path: string;
  /** With --parents: the path to copy below the directory `path`. */
  include?: PatternList | undefined;
}

/**
 * All matches of a source; empty for a pattern without a match. `not_found` for a missing path and for a dangling
 * symbolic link.
 */
export function findSources(
  { source, path }: { source: Source; path: string },
  { parents }: { parents: boolean },
): Found[] {
  if (parents) return withParents(source, path);
  const found = pathsOf(source, clean(path), { written: path });
  return found.map((each) => ({ kind: "found", source, ...each }));
}

/** Drops the part before "/./" and keeps all directories after it. */
function withParents(source: Source, path: string): Found[] {
  const pivot = path.indexOf("/./");
  const root = pivot < 0 ? "" : clean(path.slice(0, pivot));
  const kept = clean(pivot < 0 ? path : path.slice(pivot + 3));
  const include = kept === "" ? undefined : new PatternList([decodeName(kept)]);
  const roots = pathsOf(source, root, { written: path });
  for (const found of roots) {
    if (hasWildcard(root) || hasWildcard(kept)) continue;
    const asked = [found.path, kept].filter(Boolean).join("/");
    if (isThere(source, asked)) continue;
    if (resolveSource(source, asked) === undefined) {
      throw notFound(source, { path: asked, written: path });
    }
    throw new BangerError(
      "not_found",
      `"${shownPath(path)}" in ${source.what} is behind a symbolic link, which --parents does not follow`,
    );
  }
  return roots.map((found) => ({ kind: "found", source, ...found, include }));
}

/** Without following any symbolic link. */
function isThere(source: Source, path: string): boolean {
  const parts = path.split("/");
  const above = parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join("/"));
  return (
    above.every((folder) => source.stat(folder)?.type === "directory") &&
    source.stat(path) !== undefined
  );
}

function pathsOf(
  source: Source,
  path: string,
  { written }: { written: string },
): { name: string; path: string }[] {
  const isPattern = hasWildcard(path);
  const named = isPattern ? matching(source, path) : [path];
  return named.map((each) => {
    const leads = resolveSource(source, each);
    if (leads !== undefined) return { name: posix.basename(each), path: leads };
    const link = isPattern ? source.stat(each)?.target : undefined;
    if (link === undefined) throw notFound(source, { path: each, written });
    const shown = shownPath(each);
    throw new BangerError(
      "not_found",
      `broken symbolic link "${shown}": ${source.what} has no "${shownPath(link)}"`,
    );
  });
}

/** As filepath.Match; does not descend into matching directories or symbolic links. */
function matching(source: Source, pattern: string): string[] {
  const parts = pattern.split("/");
  const first = parts.findIndex(hasWildcard);
  const start = resolveSource(source, parts.slice(0, first).join("/"));
  if (start === undefined) return [];
  const rest = parts.slice(first).join("/");
  const isWanted = compileGlob(decodeName(rest));
  // A character class may match "/".
  const depth = parts.length - first + rest.split("[").length - 1;
  return [...below(source, { folder: start, relative: "", depth, isWanted })];
}

function* below(
  source: Source,
  at: { folder: string; relative: string; depth: number; isWanted: (name: string) => boolean },
): Generator<string> {
  if (at.depth === 0 || source.stat(at.folder)?.type !== "directory") return;
  for (const name of source.list(at.folder)) {
    const folder = at.folder === "" ? name : `${at.folder}/${name}`;
    const relative = at.relative === "" ? name : `${at.relative}/${name}`;
    if (!at.isWanted(decodeName(relative))) {
      yield* below(source, { ...at, folder, relative, depth: at.depth - 1 });
    } else if (source.stat(folder)) yield folder;
  }
}

/** Relative to the source's root, which ".." cannot leave. */
function clean(path: string): string {
  return posix.normalize(`/${path}`).slice(1).replace(/\/$/, "");
}

function notFound(
  source: Source,
  { path, written }: { path: string; written: string },
): BangerError {
  const problem = `"${shownPath(written)}" not found in ${source.what}`;
  if (!source.isIgnored(path)) return new BangerError("not_found", problem);
  return new BangerError("not_found", `${problem}: excluded by .dockerignore`, {
    hint: `Add the line "!${shownPath(path)}" to the end of .dockerignore`,
  });
}
