/** Copies files and trees between the host and a machine, as `cp -a` does. */
import type { Stats } from "node:fs";
import { mkdir, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FileCopied } from "#api/file.ts";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, errnoOf } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import type { GuestFiles } from "#guest/files.ts";
import { extractTar } from "./extract.ts";
import { packTree } from "./pack.ts";

/** Where what is copied goes: `name` in `folder`; "." is the folder itself. */
interface Place {
  folder: string;
  name: string;
}

/** A path in a machine. */
export interface FileRequest {
  name: string;
  path: string;
  user?: string | undefined;
}

/** `from` is a path of the host. Without `user` the owners are kept, with it they are that user. */
export async function copyIn(
  files: GuestFiles,
  request: FileRequest & { from: string },
  { signal, onProgress }: WorkOptions,
): Promise<FileCopied> {
  const { from, path, user } = request;
  const source = await hostStat(from);
  if (source === undefined) {
    throw new BangerError("not_found", `Cannot copy "${from}": no such file or directory`);
  }
  const isTree = source.isDirectory();
  const isFolder = await isGuestFolder(files, path, { user, signal });
  const place = placeOf({ source: from, target: path, isTree, isFolder });
  await openFolder(
    files,
    { ...request, folder: place.folder, isContents: place.name === "." },
    signal,
  );
  const sink = await files.writeTar(place.folder, {
    user,
    signal,
    owner: user === undefined ? "keep" : "self",
  });
  const packed = packTree(from, {
    name: place.name,
    signal,
    onProgress: (done) =>
      onProgress?.({ step: "copy", message: `Copying ${basename(from)}`, done, unit: "bytes" }),
  });
  try {
    await pipeline(Readable.from(packed.chunks), sink.writable);
  } catch (error) {
    throwIfAborted(signal);
    // What the extraction fails with says more than that its input was not taken.
    await sink.finished;
    throw error;
  }
  await sink.finished;
  return packed.result;
}

/** `to` is a path of the host. Owners are the caller's own; what comes is taken for hostile. */
export async function copyOut(
  files: GuestFiles,
  request: FileRequest & { to: string },
  { signal, onProgress }: WorkOptions,
): Promise<FileCopied> {
  const { path, to, user } = request;
  const isTree = await isGuestFolder(files, path, { user, signal });
  // A link is copied as the link that it is.
  const info = isTree ? undefined : await files.stat(path, { user, signal });
  const found = await hostStat(to);
  // Also behind a symlink, such as /dev/stdout, which would become a file.
  if (found && !found.isFile() && !found.isDirectory()) {
    throw new BangerError("invalid_argument", `Cannot copy to "${to}": not a regular file`, {
      hint: `To write to a pipe or device: banger vm cat ${request.name}:${path} > ${to}`,
    });
  }
  const isFolder = found?.isDirectory() ?? false;
  const place = placeOf({ source: path, target: to, isTree, isFolder });
  const made = await makeParent(place, { target: to, isTree });
  const archive = await files.readTar(path, { user, signal, name: place.name });
  const message = `Copying ${basename(path) || path}`;
  try {
    return await extractTar(archive, place.folder, {
      signal,
      expected: { name: place.name, kind: info?.kind ?? "directory" },
      measure: info && (async () => (await files.stat(path, { user, signal })).size_bytes),
      onProgress: (done) => onProgress?.({ step: "copy", message, done, unit: "bytes" }),
    });
  } catch (error) {
    // Only while it is empty: what has come stays, as with `cp -a`.
    if (made) await rmdir(made).catch(() => {});
    throw error;
  } finally {
    archive.destroy();
  }
}

/**
 * Fails where the machine has no such directory. The last part of its path is made if what is in a directory
 * goes there; a mistyped path must not grow a tree.
 */
export async function openFolder(
  files: GuestFiles,
  { folder, name, user, isContents = true }: FileRequest & { folder: string; isContents?: boolean },
  signal: AbortSignal | undefined,
): Promise<void> {
  if (await isGuestFolder(files, folder, { user, signal })) return;
  const parent = isContents ? dirname(join(folder, ".")) : folder;
  if (isContents && (await isGuestFolder(files, parent, { user, signal }))) {
    return await files.mkdir(folder, { user, signal, parents: false });
  }
  throw new BangerError("not_found", `Cannot copy to "${folder}": no such directory "${parent}"`, {
    hint: `Create it with: banger vm file mkdir -p ${name}:${parent}`,
  });
}

function placeOf(copy: {
  source: string;
  target: string;
  isTree: boolean;
  isFolder: boolean;
}): Place {
  const { source, target, isTree, isFolder } = copy;
  const isContents = isTree && /(^|\/)\.{1,2}\/?$/.test(source);
  if (isContents) return { folder: target, name: "." };
  if (isFolder) return { folder: target, name: basename(source) || "." };
  if (!isTree && target.endsWith("/")) {
    throw new BangerError("not_found", `Cannot copy to "${target}": no such directory`);
  }
  return { folder: dirname(target), name: basename(target) };
}

/** Only the last part of a path is made, and given; a mistyped one must not grow a tree. */
async function makeParent(
  { folder, name }: Place,
  { target, isTree }: { target: string; isTree: boolean },
): Promise<string | undefined> {
  try {
    const isMade = name === "." && isTree && (await makeFolder(folder));
    if ((await stat(folder)).isDirectory()) return isMade ? folder : undefined;
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR") throw error;
  }
  throw new BangerError("not_found", `Cannot copy to "${target}": no such directory "${folder}"`);
}

/** False where there is something already. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Undefined where there is nothing. */
async function hostStat(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** A link that leads to a folder counts as one. */
async function isGuestFolder(
  files: GuestFiles,
  path: string,
  options: { user: string | undefined; signal: AbortSignal | undefined },
): Promise<boolean> {
  try {
    return (await files.stat(`${path}/.`, options)).kind === "directory";
  } catch (error) {
    if (error instanceof BangerError && error.code === "not_found") return false;
    throw error;
  }
}
