/**
 * Copies the files of a source into a layer, by the rules of BuildKit: the target directory keeps its attributes,
 * directories below it get those of the source, and files and directories never replace each other.
 */
import { posix } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import type { LayerFile } from "#builds/layer-file.ts";
import { addArchive, archiveKind } from "./archive.ts";
import { type Found, findSources } from "./find-sources.ts";
import type { ModeChange } from "./owner.ts";
import type { PatternList } from "./patterns.ts";
import { bytesOf, type Source, type SourceFile } from "./source.ts";
import { LayerTarget, type Owner, shownPath } from "./target.ts";
import type { Kind, StageView } from "./view.ts";

/** One source of the instruction, in order. */
export type CopyInput =
  /** A path or a pattern, relative to the source's root. */
  | { kind: "path"; source: Source; path: string }
  /** A here-document, or a downloaded file. */
  | { kind: "file"; name: string; file: SourceFile; unpacks: boolean }
  /** A whole repository. */
  | { kind: "tree"; source: Source };

export interface CopyRequest {
  inputs: readonly CopyInput[];
  /** Absolute; a trailing "/" marks a directory. */
  to: string;
  /** Default: that of the source. */
  owner: Owner | undefined;
  mode: ModeChange | undefined;
  /** Unpack archives of the build context. */
  unpacks: boolean;
  /** Keep the parent directories of each source. */
  parents: boolean;
  /** Patterns of files to exclude, relative to each source. */
  exclude: PatternList;
  signal?: AbortSignal | undefined;
}

/** `not_found` for a missing source, `invalid_argument` for an invalid target. */
export async function copyInto(
  layer: LayerFile,
  view: StageView,
  request: CopyRequest,
): Promise<void> {
  const copy = new Copy(new LayerTarget(layer, view, request), request);
  const inputs = request.inputs.flatMap(
    (input): (Found | Exclude<CopyInput, { kind: "path" }>)[] =>
      input.kind === "path" ? findSources(input, request) : [input],
  );
  const isMany = inputs.length > 1;
  for (const input of inputs) {
    if (input.kind === "file") await copy.file(input, { isMany, unpacks: input.unpacks });
    else if (input.kind === "tree") await copy.folder(input.source, { path: "" });
    else await copy.path(input, isMany);
  }
}

/** Adds the missing directories of a path. `invalid_argument` if a file is in the way. */
export function makeFolders(
  layer: LayerFile,
  view: StageView,
  options: { path: string; owner: Owner | undefined },
): void {
  new LayerTarget(layer, view, options).folders(options.path);
}

class Copy {
  readonly #target: LayerTarget;
  readonly #request: CopyRequest;

  constructor(target: LayerTarget, request: CopyRequest) {
    this.#target = target;
    this.#request = request;
  }

  async path({ source, name, path, include }: Found, isMany: boolean): Promise<void> {
    const file = source.stat(path);
    if (file?.type === "directory") await this.folder(source, { path, include });
    else if (file) {
      await this.file({ name, file }, { isMany, unpacks: this.#request.unpacks });
    }
  }

  /** Copies the content of a directory. */
  async folder(source: Source, from: { path: string; include?: PatternList | undefined }) {
    const { path: to } = this.#target.view.resolve(this.#request.to);
    this.#target.folders(to, this.#request.mode?.ofNewFolders);
    const { path, include } = from;
    await this.#tree(source, { path, include, relative: "", to, files: new Map(), pending: [] });
  }

  /** Copies one file, or unpacks an archive. */
  async file(
    { name, file }: { name: string; file: SourceFile },
    options: { isMany: boolean; unpacks: boolean },
  ): Promise<void> {
    const { to, owner, mode, exclude, signal } = this.#request;
    const { view } = this.#target;
    if (options.unpacks && file.type === "file" && (await archiveKind(file))) {
      const place = view.resolve(to).path;
      this.#target.folders(place);
      await addArchive(this.#target, { file, to: place, owner, signal });
      return;
    }
    const isFolder = to.endsWith("/") || view.resolve(to).kind === "directory";
    if (options.isMany && !isFolder) {
      throw new BangerError(
        "invalid_argument",
        `with more than one source, the target must be a directory and end with "/"`,
      );
    }
    const place = view.resolve(to).path;
    const folder = isFolder ? place : posix.dirname(`/${place}`).slice(1);
    this.#target.folders(folder, mode?.ofNewFolders);
    const base = posix.basename(name);
    if (!exclude.matches(base)) await this.#put(isFolder ? join(place, base) : place, { file });
  }

  async #put(to: string, { file, link }: { file: SourceFile; link?: string | undefined }) {
    const { view } = this.#target;
    if (view.kindAt(to) === "directory") {
      const place = `"/${shownPath(to)}"`;
      throw new BangerError(
        "invalid_argument",
        `Cannot replace the directory ${place} with a file`,
        {
          hint: `Use a different target, or remove ${place} first`,
        },
      );
    }
    const { xattrs, target, type, data, inode: _, ...attributes } = file;
    const { owner, mode } = this.#request;
    const isLink = type === "symlink";
    const entry = {
      ...attributes,
      ...owner,
      mode: isLink ? 0o777 : (mode?.apply(file.mode, { isFolder: false }) ?? file.mode),
      type,
      xattrs,
      linkName: isLink ? bytesOf(target) : undefined,
    };
    if (link !== undefined) {
      this.#target.header(to, { ...entry, type: "link", linkName: bytesOf(link), size: 0 });
    } else await this.#target.file(to, entry, type === "file" ? data() : []);
  }

  async #tree(source: Source, at: TreePlace): Promise<void> {
    throwIfAborted(this.#request.signal);
    const { exclude } = this.#request;
    for (const name of source.list(at.path)) {
      const path = join(at.path, name);
      const relative = join(at.relative, name);
      const isWanted = (at.include?.matches(relative) ?? true) && !exclude.matches(relative);
      if (!isWanted && !mayHold(relative, { include: at.include, exclude })) continue;
      const file = source.stat(path);
      if (!file) continue;
      const to = join(at.to, name);
      const inside = { ...at, path, relative, to };
      if (!isWanted && file.type !== "directory") continue;
      if (!isWanted) {
        const folder = { to, file };
        at.pending.push(folder);
        await this.#tree(source, inside);
        if (at.pending.at(-1) === folder) at.pending.pop();
        continue;
      }
      for (const above of at.pending.splice(0)) {
        if (this.#target.view.kindAt(above.to) !== "directory") this.#folder(above);
      }
      if (file.type === "directory") {
        this.#folder({ to, file });
        await this.#tree(source, inside);
      } else await this.#inTree(to, { file, files: at.files });
    }
  }

  /** A further name of a copied inode becomes a hard link. */
  async #inTree(to: string, { file, files }: { file: SourceFile; files: Map<string, string> }) {
    const link = file.inode === undefined ? undefined : files.get(file.inode);
    await this.#put(to, { file, link });
    if (file.inode !== undefined && link === undefined) files.set(file.inode, to);
  }

  /** A subdirectory, with owner, mode, time and extended attributes of the source. */
  #folder({ to, file }: { to: string; file: SourceFile }): void {
    const kind = this.#target.view.kindAt(to);
    if (kind !== undefined && kind !== "directory") throw notDirectory(to, kind);
    const { owner, mode } = this.#request;
    const { uid, gid, mtime_s, mtime_ns, xattrs } = file;
    this.#target.header(to, {
      type: "directory",
      mode: mode?.apply(file.mode, { isFolder: true }) ?? file.mode,
      ...(owner ?? { uid, gid }),
      size: 0,
      mtime_s,
      mtime_ns,
      xattrs,
    });
  }
}

interface TreePlace {
  /** In the source. */
  path: string;
  /** Relative to the copied directory. */
  relative: string;
  to: string;
  include: PatternList | undefined;
  /** First names of files with hard links, by inode. */
  files: Map<string, string>;
  /** Parent directories, added with the first file in them. */
  pending: { to: string; file: SourceFile }[];
}

/** Whether a directory that is not copied itself may have files to copy. */
function mayHold(
  relative: string,
  { include, exclude }: { include: PatternList | undefined; exclude: PatternList },
): boolean {
  if (exclude.matches(relative) && !exclude.mayMatchBelow(relative, { exceptions: true })) {
    return false;
  }
  return (
    include === undefined ||
    include.matches(relative) ||
    include.mayMatchBelow(relative, { exceptions: false })
  );
}

function notDirectory(to: string, kind: Kind): BangerError {
  const place = `"/${shownPath(to)}"`;
  const isLink = kind === "symlink";
  return new BangerError(
    "invalid_argument",
    `Cannot replace ${place}, which is ${isLink ? "a symbolic link" : "a file"}, with a directory`,
    {
      hint: isLink
        ? `Symbolic links are followed only in the target itself: copy to ${place} in a separate instruction`
        : `Use a different target, or remove ${place} first`,
    },
  );
}

function join(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}
