/** What a pull must know of an ELF kernel, read in small pieces: a kernel need not fit into memory twice. */
import { closeSync, openSync, readSync } from "node:fs";
import type { Digest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { elfArch, isElf } from "./elf.ts";
import { bannerVersion } from "./image.ts";
import type { Arch } from "./manifest.ts";

const PIECE_BYTES = MiB;
/** No text that is looked for is longer. */
const OVERLAP_BYTES = 512;

export interface KernelFile {
  arch: Arch;
  /** What `uname -r` prints. */
  version: string;
  sha256: Digest;
  size_bytes: number;
}

/** Undefined when it is no ELF file; `integrity` when it is one, and no Linux for a machine that we know. */
export function inspectElfKernel(path: string): KernelFile | undefined {
  const fd = openSync(path, "r");
  try {
    // The end of the piece before stands in front of each piece.
    const buffer = Buffer.alloc(OVERLAP_BYTES + PIECE_BYTES);
    const hasher = new Bun.CryptoHasher("sha256");
    let arch: Arch | undefined;
    let version: string | undefined;
    let size_bytes = 0;
    for (;;) {
      const count = readSync(fd, buffer, OVERLAP_BYTES, PIECE_BYTES, size_bytes);
      if (count === 0) break;
      const piece = buffer.subarray(OVERLAP_BYTES, OVERLAP_BYTES + count);
      if (size_bytes === 0) {
        if (!isElf(piece)) return undefined;
        arch = elfArch(piece, path);
      }
      hasher.update(piece);
      version ??= bannerVersion(buffer.subarray(0, OVERLAP_BYTES + count));
      size_bytes += count;
      buffer.copyWithin(0, count, OVERLAP_BYTES + count);
    }
    if (arch === undefined) return undefined;
    if (version === undefined) {
      throw new BangerError("integrity", `Cannot use "${path}": it is an ELF file, but no Linux`);
    }
    return { arch, version, sha256: `sha256:${hasher.digest("hex")}` as Digest, size_bytes };
  } finally {
    closeSync(fd);
  }
}
