/**
 * Packs a bundle as `<name>-<arch>.tar.zst` for `kernel pull`: files at the root, sorted by name, without owners and
 * times, so that the same kernel gives the same bytes.
 */
import { createHash } from "node:crypto";
import { createWriteStream, lstatSync, readFileSync, readlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import type { Digest } from "#base/digest.ts";
import { walk } from "#base/files/walk.ts";
import type { OnProgress } from "#base/progress.ts";
import { MiB } from "#base/size.ts";
import { type Bundle, moduleImageFile } from "#kernels/bundle.ts";
import type { Manifest, ManifestSource } from "#kernels/manifest.ts";
import { TAR_END, tarHeader, tarPadding, type WrittenEntry } from "#tar/write.ts";

/** Packed once, downloaded many times. */
const LEVEL = 19;
const READ_BYTES = MiB;

export interface Packed {
  sha256: Digest;
  size_bytes: number;
  /** Total size of the files. */
  unpacked_bytes: number;
}

export interface PackOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export async function packBundle(
  bundle: Bundle,
  path: string,
  options: PackOptions = {},
): Promise<Packed> {
  // What is made from the other files is made again by a pull.
  const made = ["manifest.json", relative(bundle.path, moduleImageFile(bundle.path))];
  const names = Array.from(walk(bundle.path), ({ path }) => path).filter(
    (name) => !made.includes(name),
  );
  const manifest = Buffer.from(
    `${JSON.stringify(publicManifest(bundle.manifest), undefined, 2)}\n`,
  );
  const hash = createHash("sha256");
  let size_bytes = 0;
  let unpacked_bytes = manifest.length;
  const total = names.reduce((sum, name) => sum + fileSize(join(bundle.path, name)), 0);

  async function* archive(): AsyncGenerator<Uint8Array> {
    yield tarHeader(entryOf("manifest.json", "file", manifest.length));
    yield manifest;
    yield tarPadding(manifest.length);
    for (const name of names) {
      throwIfAborted(options.signal);
      const source = join(bundle.path, name);
      const found = lstatSync(source);
      if (found.isDirectory()) yield tarHeader(entryOf(name, "directory", 0));
      else if (found.isSymbolicLink()) yield tarHeader(linkOf(name, readlinkSync(source)));
      else {
        yield tarHeader(entryOf(name, "file", found.size));
        yield* contentOf(source, options.signal);
        yield tarPadding(found.size);
        unpacked_bytes += found.size;
        const message = `Packing ${bundle.manifest.name}`;
        options.onProgress?.({ step: "pack", message, done: unpacked_bytes, total, unit: "bytes" });
      }
    }
    yield TAR_END;
  }
  async function* counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      hash.update(chunk);
      size_bytes += chunk.length;
      yield chunk;
    }
  }
  const zstd = createZstdCompress({
    params: {
      [constants.ZSTD_c_compressionLevel]: LEVEL,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
  const target = createWriteStream(path, { flags: "wx", mode: 0o644 });
  await pipeline(archive, zstd, counted, target);
  throwIfAborted(options.signal);
  const sha256 = `sha256:${hash.digest("hex")}` as Digest;
  return { sha256, size_bytes, unpacked_bytes };
}

/** Without local details: import time and path. */
function publicManifest(manifest: Manifest): Manifest {
  const source: ManifestSource =
    manifest.source.kind === "import" ? { kind: "import", from: "a local build" } : manifest.source;
  return { ...manifest, source, importedAt: "1970-01-01T00:00:00.000Z", size_bytes: 0 };
}

function fileSize(path: string): number {
  const found = lstatSync(path);
  return found.isFile() ? found.size : 0;
}

async function* contentOf(
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  if (fileSize(path) <= READ_BYTES) {
    yield readFileSync(path);
    return;
  }
  await using file = await open(path, "r");
  for (;;) {
    throwIfAborted(signal);
    const { bytesRead, buffer } = await file.read(new Uint8Array(READ_BYTES), 0, READ_BYTES, null);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

function entryOf(name: string, type: "file" | "directory", size: number): WrittenEntry {
  const mode = type === "file" ? 0o644 : 0o755;
  return { type, name: Buffer.from(name), mode, uid: 0, gid: 0, size, mtime_s: 0, mtime_ns: 0 };
}

function linkOf(name: string, target: string): WrittenEntry {
  const linkName = Buffer.from(target);
  return { ...entryOf(name, "file", 0), type: "symlink", mode: 0o777, linkName };
}
