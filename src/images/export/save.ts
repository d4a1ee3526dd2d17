/**
 * Saves packed images as an OCI layout (image-layout.md 1.1), in a directory or a tar, or as a tar for `docker load`.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { copyFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { hexOf } from "#base/digest.ts";
import { BangerError, errnoOf, toBangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import { readChunks } from "#base/files/chunks.ts";
import { TAR_END, tarHeader, tarPadding } from "#tar/write.ts";
import type { PackedImage } from "./pack.ts";

export interface SaveOptions {
  /** Absolute path of the result, which is written atomically. */
  path: string;
  /** The image's name in the layout or archive. */
  name: string;
  signal?: AbortSignal | undefined;
}

/** A file of the layout or archive: bytes, or another file. */
type Content = Uint8Array | { path: string; size: number };

/**
 * Checks the target before the file system is packed. `already_exists` for a file without `force` and for a directory
 * that is not empty, `not_found`.
 */
export function assertSavable(
  path: string,
  options: { format: "oci" | "docker"; force?: boolean | undefined },
): void {
  // The dot fails for a file in the directory's place.
  if (!existsSync(`${dirname(path)}/.`)) {
    throw new BangerError("not_found", `Cannot save to "${path}": no such directory`);
  }
  if (!existsSync(path)) return;
  const isTar = isArchive(options.format, path);
  const isFile = isTar && !statSync(path).isDirectory();
  if (isTar ? isFile && options.force : isEmptyFolder(path)) return;
  throw new BangerError("already_exists", `Cannot save to "${path}": it exists already`, {
    hint: isFile ? "Overwrite it with --force" : "Use a path that does not exist",
  });
}

function isArchive(format: "oci" | "docker", path: string): boolean {
  return format === "docker" || path.endsWith(".tar");
}

/** A directory, or a tar if the path ends with ".tar". */
export async function saveOciLayout(packed: PackedImage, options: SaveOptions): Promise<void> {
  const { manifest, config, layer } = packed;
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.bytes.length,
        annotations: { "org.opencontainers.image.ref.name": options.name },
      },
    ],
  };
  const files: [string, Content][] = [
    ["oci-layout", bytesOf({ imageLayoutVersion: "1.0.0" })],
    ["index.json", bytesOf(index)],
    [`blobs/sha256/${hexOf(manifest.digest)}`, manifest.bytes],
    [`blobs/sha256/${hexOf(config.digest)}`, config.bytes],
    [`blobs/sha256/${hexOf(layer.digest)}`, layer],
  ];
  await (options.path.endsWith(".tar")
    ? writeArchive(files, options)
    : writeFolder(files, options));
}

/** The format of `docker save`, but with a compressed layer, which `docker load` accepts as well. */
export async function saveDockerArchive(packed: PackedImage, options: SaveOptions): Promise<void> {
  const { config, layer } = packed;
  const configName = `${hexOf(config.digest)}.json`;
  const layerName = `${hexOf(layer.digest)}.tar.gz`;
  const tag = `${options.name}:latest`;
  await writeArchive(
    [
      [configName, config.bytes],
      [layerName, layer],
      ["manifest.json", bytesOf([{ Config: configName, RepoTags: [tag], Layers: [layerName] }])],
    ],
    options,
  );
}

async function writeFolder(files: [string, Content][], options: SaveOptions): Promise<void> {
  const { path, signal } = options;
  const staging = stagingPath(path);
  try {
    mkdirSync(join(staging, "blobs", "sha256"), { recursive: true });
    for (const [name, content] of files) {
      throwIfAborted(signal);
      const place = join(staging, name);
      if (content instanceof Uint8Array) writeFileSync(place, content);
      else await moveFile(content.path, place);
    }
    throwIfAborted(signal);
    renameSync(staging, path);
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    throw toBangerError(error);
  }
}

/** The layer is a temporary file, so on the same file system it is moved. */
async function moveFile(from: string, to: string): Promise<void> {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!["EXDEV", "EPERM", "EMLINK"].includes(errnoOf(error) ?? "")) throw error;
    await copyFile(from, to);
  }
}

async function writeArchive(files: [string, Content][], options: SaveOptions): Promise<void> {
  const { path, signal } = options;
  const staging = stagingPath(path);
  try {
    const fd = openSync(staging, "wx", 0o644);
    try {
      for (const [name, content] of files) await writeEntry(fd, name, { content, signal });
      writeAll(fd, TAR_END);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    throwIfAborted(signal);
    renameSync(staging, path);
  } catch (error) {
    rmSync(staging, { force: true });
    throw toBangerError(error);
  }
}

async function writeEntry(
  fd: number,
  name: string,
  options: { content: Content; signal: AbortSignal | undefined },
): Promise<void> {
  const { content, signal } = options;
  const size = content instanceof Uint8Array ? content.length : content.size;
  const fields = { mode: 0o644, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };
  writeAll(fd, tarHeader({ ...fields, type: "file", name: Buffer.from(name), size }));
  if (content instanceof Uint8Array) writeAll(fd, content);
  else for await (const chunk of readChunks(content.path, { signal })) writeAll(fd, chunk);
  writeAll(fd, tarPadding(size));
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

function isEmptyFolder(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch {
    return false;
  }
}

function bytesOf(value: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
