/** Archives that ADD unpacks: a tar, plain or compressed, told by its first bytes. */
import { createGunzip, createZstdDecompress } from "node:zlib";
import { BangerError, throwIfAborted } from "#base/error.ts";
import { which } from "#base/run.ts";
import { through } from "#images/decompress.ts";
import { TarReader } from "#oci/tar.ts";
import type { TarEntry } from "#oci/tar-entry.ts";
import { shown } from "#oci/tar-entry.ts";
import { parseHeader, TAR_BLOCK_BYTES } from "#oci/tar-header.ts";
import type { LayerFile } from "./layer-file.ts";
import { bytesOf, type SourceFile } from "./source.ts";

type Kind = "plain" | "gzip" | "zstd" | "xz" | "bzip2";

const ZERO_PIECE_BYTES = 64 * 1024;

/** Undefined for a file that is no tar, however it is compressed: ADD copies that. */
export async function archiveKind(file: SourceFile): Promise<Kind | undefined> {
  const kind = compressionOf(await firstBytes(file.data(), 6));
  try {
    const head = await firstBytes(decompressed(file, kind), TAR_BLOCK_BYTES);
    if (head.length < TAR_BLOCK_BYTES || head.every((byte) => byte === 0)) return undefined;
    parseHeader(head);
    return kind;
  } catch {
    return undefined;
  }
}

/** Everything in the archive below the folder `to`. `integrity` when it is damaged or leads out. */
export async function addArchive(
  layer: LayerFile,
  options: { file: SourceFile; to: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const { file, to, signal } = options;
  const kind = compressionOf(await firstBytes(file.data(), 6));
  const reader = new TarReader(forwarder(layer, to));
  for await (const chunk of decompressed(file, kind)) {
    throwIfAborted(signal);
    reader.push(chunk);
  }
  reader.finish();
}

function forwarder(layer: LayerFile, to: string) {
  let open: { position: number; size: number } | undefined;
  const place = (name: Uint8Array): Uint8Array => {
    const parts = Buffer.from(name).toString("latin1").split("/");
    if (parts.includes("..")) {
      throw new BangerError("integrity", `The archive's ${shown(name)} leads out of it`);
    }
    const path = parts.filter((part) => part !== "" && part !== ".").join("/");
    return bytesOf([to, path].filter(Boolean).join("/"));
  };
  return {
    entry(entry: TarEntry): void {
      const name = place(entry.name);
      open = undefined;
      if (name.length === 0 || name.length === to.length) return;
      const linkName = entry.type === "link" ? place(entry.linkName) : entry.linkName;
      layer.header({ ...entry, name, linkName });
      if (entry.type === "file") open = { position: 0, size: entry.size };
    },
    data(bytes: Uint8Array, offset: number): void {
      if (!open) return;
      writeZeros(layer, offset - open.position);
      layer.data(bytes);
      open.position = offset + bytes.length;
    },
    end(): void {
      if (!open) return;
      writeZeros(layer, open.size - open.position);
      layer.pad(open.size);
    },
  };
}

function writeZeros(layer: LayerFile, count: number): void {
  for (let left = count; left > 0; left -= ZERO_PIECE_BYTES) {
    layer.data(new Uint8Array(Math.min(left, ZERO_PIECE_BYTES)));
  }
}

function compressionOf(head: Uint8Array): Kind {
  const hex = Buffer.from(head).toString("hex");
  if (hex.startsWith("1f8b")) return "gzip";
  if (hex.startsWith("28b52ffd")) return "zstd";
  if (hex.startsWith("fd377a585a00")) return "xz";
  return hex.startsWith("425a68") ? "bzip2" : "plain";
}

async function* decompressed(file: SourceFile, kind: Kind): AsyncGenerator<Uint8Array> {
  if (kind === "plain") yield* file.data();
  else if (kind === "gzip") yield* through(createGunzip(), file.data());
  else if (kind === "zstd") yield* through(createZstdDecompress(), file.data());
  else yield* throughProgram(kind, file.data());
}

async function* throughProgram(
  name: "xz" | "bzip2",
  source: ReturnType<SourceFile["data"]>,
): AsyncGenerator<Uint8Array> {
  const program = which(name);
  if (!program) {
    throw new BangerError(
      "unsupported",
      `The archive is compressed by ${name}, which is not here`,
      {
        hint: `sudo apt-get install ${name === "xz" ? "xz-utils" : name}`,
      },
    );
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
    if ((await child.exited) !== 0) throw new BangerError("integrity", "The archive is damaged");
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
