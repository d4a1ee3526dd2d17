/** Checks the files of `image register`: rootfs, initrd and modules. */
import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { compressionOf } from "#base/compression.ts";
import { BangerError } from "#base/error.ts";
import { statGiven, statGivenFile } from "#base/files/given-path.ts";
import { GiB } from "#base/size.ts";
import { modes } from "#ext4/format.ts";
import { followLinks } from "#ext4/read/links.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";

const INITRD_MAX_BYTES = 2 * GiB;
const ELF_HEADER_BYTES = 20;
/** Programs that reveal the architecture of a rootfs. */
const PROGRAMS = [
  "/bin/sh",
  "/usr/bin/env",
  "/bin/busybox",
  "/sbin/init",
  "/usr/lib/systemd/systemd",
];
const machines: Record<number, string> = { 62: "amd64", 183: "arm64" };

export interface InspectedRootfs {
  size_bytes: number;
  allocated_bytes: number;
  /** "amd64" or "arm64"; undefined if unknown. */
  arch: string | undefined;
}

/** `not_found`, `integrity` if it is not an ext4 file system, `invalid_state` if it was not unmounted cleanly. */
export function inspectRootfs(path: string): InspectedRootfs {
  const stat = statGivenFile(path, "a rootfs");
  using reader = openExt4(path);
  if (reader.info.needsRecovery) {
    throw new BangerError(
      "invalid_state",
      `Cannot use "${path}" as a rootfs: it was not unmounted cleanly`,
      { hint: `Unmount it if it is mounted, then run: e2fsck -p ${path}` },
    );
  }
  if (reader.isEmpty("/")) {
    throw new BangerError(
      "invalid_argument",
      `Cannot use "${path}" as a rootfs: empty file system`,
    );
  }
  const arch = PROGRAMS.map((program) => archOf(reader, program)).find(Boolean);
  return { size_bytes: stat.size, allocated_bytes: stat.blocks * 512, arch };
}

export function inspectInitrd(path: string): void {
  const stat = statGivenFile(path, "an initrd");
  const start = readStart(path, 6);
  // The kernel accepts cpio, plain or compressed.
  const isCpio = ["070701", "070702"].includes(start.toString("latin1"));
  const isKnown = isCpio || compressionOf(start) !== undefined;
  if (isKnown && stat.size <= INITRD_MAX_BYTES) return;
  const why = isKnown ? "it is too large" : "not a cpio archive, and unknown compression";
  throw new BangerError("integrity", `Cannot use "${path}" as an initrd: ${why}`);
}

/** A directory from `make modules_install`: the parent of "VERSION/", or "VERSION/" itself. */
export function inspectModules(path: string): void {
  const stat = statGiven(path, "a modules directory");
  const names = stat.isDirectory() ? readdirSync(path) : [];
  const isTree = (folder: readonly string[]): boolean =>
    folder.some((name) => /^(modules\.(dep|order|builtin)|kernel)$/.test(name));
  const below = names.filter((name) => /^\d+\.\d+/.test(name));
  if (isTree(names) || below.some((name) => isTree(readdirSync(join(path, name))))) return;
  throw new BangerError(
    "invalid_argument",
    `Cannot use "${path}" as a modules directory: no kernel modules found`,
    { hint: 'Pass the directory that contains "modules.dep", or its parent' },
  );
}

/** Up to `length` bytes from the start of a file. */
export function readStart(path: string, length: number): Buffer {
  const fd = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(length);
    return buffer.subarray(0, readSync(fd, buffer, 0, length, 0));
  } finally {
    closeSync(fd);
  }
}

function archOf(reader: Ext4Reader, program: string): string | undefined {
  const file = followLinks(reader, program)?.file;
  if (file?.type !== modes.REGULAR || file.size < ELF_HEADER_BYTES) return undefined;
  const first = reader.chunks(file).next();
  if (first.done || first.value.offset !== 0) return undefined;
  const bytes = Buffer.from(first.value.bytes);
  if (bytes.length < ELF_HEADER_BYTES || bytes.readUInt32LE(0) !== 0x464c457f) return undefined;
  return machines[bytes.readUInt16LE(18)];
}
