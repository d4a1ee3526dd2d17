/** Reads version, architecture and digest of an ELF kernel while it is streamed, without keeping it in memory. */
import { closeSync, openSync, readSync } from "node:fs";
import type { Digest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { elfArch, isElf } from "./elf.ts";
import { bannerVersion } from "./image.ts";
import type { Arch } from "./manifest.ts";

const PIECE_BYTES = MiB;
/** At least the length of the version string and of the ELF header. */
const OVERLAP_BYTES = 512;

export interface KernelFile {
  arch: Arch;
  /** The kernel release, `uname -r`. */
  version: string;
  sha256: Digest;
}

/** Receives the chunks of a file in order. */
export class ElfInspector {
  readonly #hasher = new Bun.CryptoHasher("sha256");
  #start = Buffer.alloc(0);
  /** The tail of the previous chunk, for text across two chunks. */
  #tail = Buffer.alloc(0);
  #version: string | undefined;
  #size_bytes = 0;

  get size_bytes(): number {
    return this.#size_bytes;
  }

  take(piece: Uint8Array): void {
    this.#hasher.update(piece);
    this.#size_bytes += piece.length;
    const { length } = this.#start;
    if (length < OVERLAP_BYTES) {
      this.#start = Buffer.concat([this.#start, piece.subarray(0, OVERLAP_BYTES - length)]);
    }
    const seam = Buffer.concat([this.#tail, piece.subarray(0, OVERLAP_BYTES)]);
    this.#version ??= bannerVersion(seam) ?? bannerVersion(piece);
    const end = piece.subarray(-OVERLAP_BYTES);
    this.#tail = Buffer.concat([this.#tail, end]).subarray(-OVERLAP_BYTES);
  }

  /** Undefined if it is not an ELF file; `integrity` if it is not a Linux kernel of a supported architecture. */
  result(path: string): KernelFile | undefined {
    if (!isElf(this.#start)) return undefined;
    const arch = elfArch(this.#start, path);
    const version = this.#version;
    if (version === undefined) {
      throw new BangerError(
        "integrity",
        `Cannot use "${path}": an ELF file, but not a Linux kernel`,
      );
    }
    return { arch, version, sha256: `sha256:${this.#hasher.digest("hex")}` as Digest };
  }
}

export function inspectFile(path: string): ElfInspector {
  const inspector = new ElfInspector();
  const buffer = Buffer.alloc(PIECE_BYTES);
  const fd = openSync(path, "r");
  try {
    for (;;) {
      const count = readSync(fd, buffer, 0, PIECE_BYTES, inspector.size_bytes);
      if (count === 0) return inspector;
      inspector.take(buffer.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}
