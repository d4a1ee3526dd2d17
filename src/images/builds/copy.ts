/** COPY and ADD: files of a source as entries of a layer. */
import { posix } from "node:path";
import { BangerError, throwIfAborted } from "#base/error.ts";
import { addArchive, archiveKind } from "./archive.ts";
import type { LayerFile } from "./layer-file.ts";
import { globToRegExp, hasWildcard } from "./patterns.ts";
import { bytesOf, resolveSource, type Source, type SourceFile } from "./source.ts";
import type { StageView } from "./view.ts";

export interface Owner {
  uid: number;
  gid: number;
}

export interface CopyRequest {
  source: Source;
  /** Paths and patterns, relative to the source's root. */
  from: readonly string[];
  /** Small files of the Dockerfile's own, and such that were downloaded. */
  files: readonly { name: string; file: SourceFile }[];
  /** Absolute; with a "/" at its end it is a folder. */
  to: string;
  /** Default: what the source says. */
  owner: Owner | undefined;
  mode: number | undefined;
  /** ADD: archives of the context are unpacked. */
  unpacks: boolean;
  signal?: AbortSignal | undefined;
}

const ENTRIES_MAX = 2_000_000;

/** `not_found` for a source that is not there, `invalid_argument` for a target that cannot be. */
export async function copyInto(layer: LayerFile, view: StageView, request: CopyRequest) {
  const target = new Target(layer, view, request);
  const found = request.from.map((pattern) => ({
    pattern,
    paths: matching(request.source, pattern),
  }));
  const paths = found.flatMap(({ pattern, paths }) => {
    if (paths.length > 0) return paths;
    throw new BangerError("not_found", `${request.source.what} has no "${shownPath(pattern)}"`, {
      hint: "See that it is there, and that .dockerignore does not leave it out",
    });
  });
  const isMany = paths.length + request.files.length > 1;
  const place = view.resolve(request.to);
  const isFolder = request.to.endsWith("/") || place.kind === "directory";
  if (isMany && !isFolder) {
    throw new BangerError("invalid_argument", `With several sources, the target must end with "/"`);
  }
  for (const path of paths) await target.put(path, { isFolder, to: place.path });
  for (const { name, file } of request.files) {
    const to = isFolder ? join(place.path, posix.basename(name)) : place.path;
    await target.file(to, file);
  }
}

class Target {
  readonly #layer: LayerFile;
  readonly #view: StageView;
  readonly #request: CopyRequest;
  readonly #made = new Set<string>();
  #count = 0;

  constructor(layer: LayerFile, view: StageView, request: CopyRequest) {
    this.#layer = layer;
    this.#view = view;
    this.#request = request;
  }

  async put(path: string, { isFolder, to }: { isFolder: boolean; to: string }): Promise<void> {
    const { source, unpacks } = this.#request;
    const file = source.stat(path);
    if (file?.type === "directory") {
      // Of a folder, it is the content that is copied.
      this.#folders(to);
      await this.#tree(path, to);
      return;
    }
    if (!file) return;
    if (unpacks && file.type === "file" && (await archiveKind(file))) {
      this.#folders(to);
      await addArchive(this.#layer, { file, to, signal: this.#request.signal });
      return;
    }
    await this.file(isFolder ? join(to, posix.basename(path)) : to, file);
  }

  /** One file at the path `to`, with the folders above it. */
  async file(to: string, file: SourceFile): Promise<void> {
    if (to === "") throw new BangerError("invalid_argument", "A file cannot take the root's place");
    this.#folders(posix.dirname(to) === "." ? "" : posix.dirname(to));
    const { xattrs, target, type, data, ...said } = file;
    const entry = {
      ...said,
      ...this.#request.owner,
      mode: type === "symlink" ? 0o777 : (this.#request.mode ?? file.mode),
      type,
      name: bytesOf(to),
      xattrs,
      ...(type === "symlink" ? { linkName: bytesOf(target) } : {}),
    };
    if (++this.#count > ENTRIES_MAX) {
      throw new BangerError("limit_exceeded", `More than ${ENTRIES_MAX} files would be copied`);
    }
    await this.#layer.entry(entry, type === "file" ? data() : undefined);
  }

  async #tree(path: string, to: string): Promise<void> {
    const { source, signal } = this.#request;
    throwIfAborted(signal);
    for (const name of source.list(path)) {
      const from = join(path, name);
      const file = source.stat(from);
      if (!file) continue;
      const place = join(to, name);
      const isIgnored = source.isIgnored(from);
      if (file.type !== "directory") {
        if (!isIgnored) await this.file(place, file);
        continue;
      }
      // An exception of .dockerignore may want something below an ignored folder.
      if (!isIgnored) this.#folder(place, file);
      await this.#tree(from, place);
    }
  }

  /** A folder that is there already stays as it is. */
  #folder(to: string, file: SourceFile): void {
    if (this.#made.has(to) || this.#view.resolve(to).kind === "directory") return;
    this.#made.add(to);
    const { mode, uid, gid, mtime_s, mtime_ns, xattrs } = file;
    const said = { mode: this.#request.mode ?? mode, uid, gid, ...this.#request.owner };
    this.#layer.header({
      type: "directory",
      name: bytesOf(to),
      ...said,
      size: 0,
      mtime_s,
      mtime_ns,
      xattrs,
    });
  }

  /** What is missing of a path, as folders of root or of the wanted owner. */
  #folders(path: string): void {
    makeFolders(this.#layer, this.#view, { path, made: this.#made, owner: this.#request.owner });
  }
}

/** Enters the folders of a path that are not there yet. `invalid_argument` where a file is in the way. */
export function makeFolders(
  layer: LayerFile,
  view: StageView,
  options: { path: string; made: Set<string>; owner: Owner | undefined },
): void {
  const parts = options.path.split("/").filter(Boolean);
  for (let depth = 1; depth <= parts.length; depth++) {
    const path = parts.slice(0, depth).join("/");
    if (options.made.has(path)) continue;
    const { kind } = view.resolve(path);
    if (kind === "directory") continue;
    if (kind !== undefined) {
      throw new BangerError("invalid_argument", `"/${shownPath(path)}" is no folder`);
    }
    options.made.add(path);
    const owner = options.owner ?? { uid: 0, gid: 0 };
    const time = { mtime_s: Math.floor(Date.now() / 1000), mtime_ns: 0 };
    const name = bytesOf(path);
    layer.header({ type: "directory", name, mode: 0o755, ...owner, size: 0, ...time });
  }
}

/** What a source of COPY names: one path, or all that match, without what is ignored. */
function matching(source: Source, pattern: string): string[] {
  const clean = posix.normalize(`/${pattern}`).slice(1).replace(/\/$/, "");
  if (!hasWildcard(clean)) {
    const path = resolveSource(source, clean);
    return path === undefined || source.isIgnored(path) ? [] : [path];
  }
  const fixed = clean.split("/");
  const first = fixed.findIndex(hasWildcard);
  const start = resolveSource(source, fixed.slice(0, first).join("/"));
  if (start === undefined) return [];
  const rest = fixed.slice(first).join("/");
  const wanted = globToRegExp(rest);
  const depthMax = rest.includes("**") ? Number.POSITIVE_INFINITY : fixed.length - first;
  return [...below(source, start, depthMax)]
    .filter((path) => wanted.test(start === "" ? path : path.slice(start.length + 1)))
    .filter((path) => !source.isIgnored(path))
    .flatMap((path) => resolveSource(source, path) ?? []);
}

function* below(source: Source, folder: string, depth: number): Generator<string> {
  if (source.stat(folder)?.type !== "directory") return;
  for (const name of source.list(folder)) {
    const path = join(folder, name);
    yield path;
    if (depth > 1) yield* below(source, path, depth - 1);
  }
}

function join(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

function shownPath(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}
