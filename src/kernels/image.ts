/** Reads a kernel image in any format, and stores it in the one that boots fastest. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Digest, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { statGivenFile } from "#base/files/given-path.ts";
import { writeSparse } from "#base/files/sparse.ts";
import { formatSize } from "#base/size.ts";
import { kernelFile } from "./bundle.ts";
import { isBzImage, MAX_KERNEL_BYTES, parseBzImage, unpackBzImage } from "./bzimage.ts";
import { elfArch, hasPvhEntry, isElf } from "./elf.ts";
import { embeddedConfig } from "./features.ts";
import type { Arch, Manifest } from "./manifest.ts";

export interface KernelImage {
  format: Manifest["format"];
  bytes: Uint8Array;
  arch: Arch;
  /** The kernel release, `uname -r`. */
  version: string;
  /** The embedded build configuration. */
  config: string | undefined;
  /** Whether `bytes` are unchanged from the input file. */
  isAsInFile: boolean;
}

/**
 * Reads a vmlinux, vmlinuz or bzImage, or an arm64 Image. A bzImage is decompressed to its ELF file, which saves each
 * boot a second on an emulated CPU, unless that file has no PVH entry point. `integrity` for anything else.
 */
export async function readKernelImage(path: string, signal?: AbortSignal): Promise<KernelImage> {
  const { size } = statGivenFile(path, "a kernel");
  if (size > MAX_KERNEL_BYTES) {
    const text = `Cannot use "${path}" as a kernel: too large: ${formatSize(size)}`;
    throw new BangerError("limit_exceeded", text);
  }
  const bytes = readFileSync(path);
  if (isBzImage(bytes)) return await fromBzImage(bytes, path, signal);
  if (isElf(bytes)) {
    const version = bannerVersion(bytes);
    if (version) return { ...elfParts(bytes, path), version, isAsInFile: true };
    throw new BangerError("integrity", `Cannot use "${path}": an ELF file, but not a Linux kernel`);
  }
  if (isArm64Image(bytes)) {
    const version = bannerVersion(bytes);
    const config = embeddedConfig(bytes);
    if (version) {
      return { format: "Image", bytes, arch: "arm64", version, config, isAsInFile: true };
    }
  }
  throw new BangerError("integrity", `Cannot use "${path}": not a vmlinux or bzImage`, {
    hint: "Use an uncompressed ELF kernel (vmlinux) or a bzImage (vmlinuz)",
  });
}

/** Writes the kernel to `bundle` and returns its digest. */
export function writeKernelImage(image: KernelImage, bundle: string): Digest {
  writeSparse(join(bundle, kernelFile(image.format)), image.bytes);
  return sha256(image.bytes);
}

/** The release in a kernel's "Linux version …" banner. */
export function bannerVersion(elf: Uint8Array): string | undefined {
  const data = Buffer.from(elf.buffer, elf.byteOffset, elf.length);
  const mark = "Linux version ";
  for (let at = data.indexOf(mark); at >= 0; at = data.indexOf(mark, at + 1)) {
    const text = data.toString("latin1", at + mark.length, at + mark.length + 200);
    const version = /^\d+\.\d+[\w.+~-]*(?= )/.exec(text)?.[0];
    if (version) return version;
  }
  return undefined;
}

/** Magic number of the header: Documentation/arch/arm64/booting.rst of the kernel. */
function isArm64Image(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0x38, 0x3c)).toString("latin1") === "ARM\x64";
}

async function fromBzImage(
  bytes: Uint8Array,
  path: string,
  signal: AbortSignal | undefined,
): Promise<KernelImage> {
  const elf = await unpackBzImage(bytes, signal);
  const version = bannerVersion(elf) ?? parseBzImage(bytes).version;
  if (version === "") {
    throw new BangerError("integrity", `Cannot use "${path}": no Linux version found`);
  }
  const parts = elfParts(elf, path);
  if (hasPvhEntry(elf)) return { ...parts, version, isAsInFile: false };
  return { ...parts, version, format: "bzImage", bytes, isAsInFile: true };
}

function elfParts(bytes: Uint8Array, path: string) {
  const arch = elfArch(bytes, path);
  return { format: "elf" as const, bytes, arch, config: embeddedConfig(bytes) };
}
