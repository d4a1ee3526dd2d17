/** Unpacks archives for ADD: a tar, plain or compressed, detected by its first bytes. */
import { posix } from "node:path";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { COMPRESSION_HEAD_BYTES, compressionOf } from "#base/compression.ts";
import { decompress } from "#base/decompress.ts";
import { BangerError } from "#base/error.ts";
import { which } from "#base/run.ts";
import type { TarEntry } from "#tar/entry.ts";
import { shown } from "#tar/entry.ts";
import { parseHeader, TAR_BLOCK_BYTES } from "#tar/header.ts";
import { type TarHandler, TarReader } from "#tar/reader.ts";
import { bytesOf, type SourceFile } from "./source.ts";
import { type LayerTarget, type Owner, shownPath } from "./target.ts";

/** The formats that docker unpacks. */
const UNPACKED = { gzip: true, zstd: true, xz: true, bzip2: true } as const;
type Kind = "plain" | keyof typeof UNPACKED;

const ZERO_PIECE_BYTES = 64 * 1024;

/** Undefined for a file that is not a tar, which ADD copies. */
export async function archiveKind(file: SourceFile): Promise<Kind | undefined> {
  const kind = kindOf(await firstBytes(file.data(), COMPRESSION_HEAD_BYTES));
  try {
    const head = await firstBytes(decompressed(file, kind), TAR_BLOCK_BYTES);
    if (head.length < TAR_BLOCK_BYTES || head.every((byte) => byte === 0)) return undefined;
    parseHeader(head);
    return kind;
  } catch {
    return undefined;
  }
}

/**
 * Unpacks the archive below the directory `to`, as tar does: existing files are replaced, directories are merged.
 * Names and links never leave `to`. `integrity` for a corrupt archive.
 */
export async function addArchive(
  target: LayerTarget,
  options: {
    file: SourceFile;
    to: string;
    owner: Owner | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const { file, signal } = options;
  const kind = kindOf(await firstBytes(file.data(), COMPRESSION_HEAD_BYTES));
  const reader = new TarReader(unpacker(target, options));
  for await (const chunk of decompressed(file, kind)) {
    throwIfAborted(signal);
    reader.push(chunk);
  }
  reader.finish();
}

function unpacker(
  target: LayerTarget,
  { to, owner }: { to: string; owner: Owner | undefined },
): TarHandler {
  let open: { position: number; size: number } | undefined;
  const { view } = target;
  /** Follows symbolic links in parent directories, inside `to`, except dangling ones. */
  const placeOf = (name: Uint8Array): string | undefined => {
    const path = posix.normalize(`/${Buffer.from(name).toString("latin1")}`).replace(/\/$/, "");
    if (path === "") return undefined;
    const parents = path.slice(1).split("/").slice(0, -1);
    for (let depth = 1; depth <= parents.length; depth++) {
      const above = view.resolve(parents.slice(0, depth - 1).join("/"), { root: to }).path;
      const here = [above, parents[depth - 1]].filter(Boolean).join("/");
      const leads = view.resolve(parents.slice(0, depth).join("/"), { root: to });
      if (leads.kind !== undefined) continue;
      if (view.kindAt(here) !== "symlink") break;
      throw new BangerError(
        "integrity",
        `Cannot unpack ${shown(name)}: the symbolic link "/${shownPath(here)}" points outside the target`,
      );
    }
    const place = view.resolve(parents.join("/"), { root: to }).path;
    return [place, posix.basename(path)].filter(Boolean).join("/");
  };
  return {
    entry(entry: TarEntry): void {
      open = undefined;
      const place = placeOf(entry.name);
      if (place === undefined) return;
      target.folders(posix.dirname(`/${place}`).slice(1));
      const there = view.kindAt(place);
      const isFolder = entry.type === "directory";
      if (there !== undefined && (there === "directory") !== isFolder) target.remove(place);
      const attributes = { ...entry, ...owner };
      if (entry.type === "link") {
        const linked = placeOf(entry.linkName);
        const kind = linked === undefined ? "directory" : view.kindAt(linked);
        if (linked === undefined || kind === undefined || kind === "directory") {
          const problem = kind === undefined ? "does not exist" : "is a directory";
          throw new BangerError(
            "integrity",
            `Cannot unpack ${shown(entry.name)}: hard link to ${shown(entry.linkName)}, which ${problem}`,
          );
        }
        target.header(place, { ...attributes, linkName: bytesOf(linked) });
        return;
      }
      target.header(place, attributes);
      if (entry.type === "file") open = { position: 0, size: entry.size };
    },
    data(bytes: Uint8Array, offset: number): void {
      if (!open) return;
      writeZeros(target, offset - open.position);
      target.data(bytes);
      open.position = offset + bytes.length;
    },
    end(): void {
      if (!open) return;
      writeZeros(target, open.size - open.position);
      target.end(open.size);
    },
  };
}

function writeZeros(target: LayerTarget, count: number): void {
  for (let left = count; left > 0; left -= ZERO_PIECE_BYTES) {
    target.data(new Uint8Array(Math.min(left, ZERO_PIECE_BYTES)));
  }
}

function kindOf(head: Uint8Array): Kind {
  const kind = compressionOf(head);
  return kind && kind in UNPACKED ? (kind as Kind) : "plain";
}

async function* decompressed(file: SourceFile, kind: Kind): AsyncGenerator<Uint8Array> {
  if (kind === "plain") yield* file.data();
  else if (kind === "gzip") yield* decompress(createGunzip(), file.data());
  else if (kind === "zstd") yield* decompress(createZstdDecompress(), file.data());
  else yield* throughProgram(kind, file.data());
}

async function* throughProgram(
  name: "xz" | "bzip2",
  source: ReturnType<SourceFile["data"]>,
): AsyncGenerator<Uint8Array> {
  const program = which(name);
  if (!program) {
    throw new BangerError("unsupported", `Cannot unpack the archive: "${name}" is not installed`, {
      hint: `sudo apt-get install ${name === "xz" ? "xz-utils" : name}`,
    });
  }
  const child = Bun.spawn([program, "-dc"], { stdin: "pipe", stdout: "pipe", stderr: "ignore" });
  const fed = (async () => {
    for await (const chunk of source) {
      child.stdin.write(chunk);
      await child.stdin.flush();
    }
    await child.stdin.end();
  })().catch(() => {});
  try {
    for await (const chunk of child.stdout) yield chunk;
    if ((await child.exited) !== 0) throw new BangerError("integrity", "corrupt archive");
  } finally {
    child.kill("SIGKILL");
    await child.exited;
    await fed;
  }
}

async function firstBytes(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  count: number,
): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  for await (const chunk of source) {
    head = Buffer.concat([head, chunk]);
    if (head.length >= count) break;
  }
  return head.subarray(0, count);
}
