/**
 * Whether a kernel fits into a machine's memory. One that does not is loaded in part, or refused by the VMM
 * in words of its own; so it is told from the kernel's headers before anything is started.
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { BootSpec } from "./driver.ts";

const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const PROGRAM_HEADERS_MAX = 128;
const PT_LOAD = 1;
/** The x86 boot protocol: its mark, and where it says where the kernel prefers to be and what it takes there. */
const BZIMAGE = { markAt: 0x202, mark: "HdrS", preferredAt: 0x258, sizeAt: 0x260 };
/** The header of an arm64 "Image". */
const ARM_IMAGE = { markAt: 56, mark: "ARMd", offsetAt: 8, sizeAt: 16 };
const HEADERS_BYTES = ELF_HEADER_BYTES + PROGRAM_HEADERS_MAX * PROGRAM_HEADER_BYTES;
/** What a kernel needs beyond itself until the agent runs: page tables, its own structures, the agent. */
const WORKING_BYTES = 12 * MiB;
/** What a hint names is a multiple of this. */
const STEP_MIB = 4;

/** `limit_exceeded`, with the least that would do. Files that are no kernel are left to the VMM. */
export function assertKernelFits(spec: BootSpec): void {
  const end_bytes = kernelEnd_bytes(spec.kernelPath);
  if (end_bytes === undefined) return;
  // The initrd is in memory twice while it is unpacked.
  const initrd_bytes = 2 * statSync(spec.initrdPath).size;
  const least_mib = stepUp((end_bytes + initrd_bytes + WORKING_BYTES) / MiB);
  if (spec.memory_mib >= least_mib) return;
  throw new BangerError(
    "limit_exceeded",
    `Cannot start the machine: its kernel does not fit in ${spec.memory_mib} MiB of memory, it needs at least ${least_mib} MiB`,
    { hint: `Use --memory ${least_mib}M, or a smaller kernel with --kernel-ref` },
  );
}

/** Where in memory a kernel ends; undefined for what is none. */
export function kernelEnd_bytes(path: string): number | undefined {
  const header = readStart(path);
  const has = ({ markAt, mark }: { markAt: number; mark: string }): boolean =>
    header.toString("latin1", markAt, markAt + mark.length) === mark;
  if (header.length < ELF_HEADER_BYTES) return undefined;
  if (has({ markAt: 0, mark: "\x7fELF" })) return elfEnd_bytes(header);
  if (has(BZIMAGE) && header.length >= BZIMAGE.sizeAt + 4) {
    const preferred = Number(header.readBigUInt64LE(BZIMAGE.preferredAt));
    return preferred + header.readUInt32LE(BZIMAGE.sizeAt);
  }
  if (!has(ARM_IMAGE)) return undefined;
  const offset = Number(header.readBigUInt64LE(ARM_IMAGE.offsetAt));
  return offset + Number(header.readBigUInt64LE(ARM_IMAGE.sizeAt));
}

function elfEnd_bytes(header: Buffer): number | undefined {
  const start = Number(header.readBigUInt64LE(32));
  const count = header.readUInt16LE(56);
  let end_bytes = 0;
  for (let index = 0; index < count; index++) {
    const at = start + index * PROGRAM_HEADER_BYTES;
    if (at + PROGRAM_HEADER_BYTES > header.length) return undefined;
    if (header.readUInt32LE(at) !== PT_LOAD) continue;
    const physical = Number(header.readBigUInt64LE(at + 24));
    const size = Number(header.readBigUInt64LE(at + 40));
    end_bytes = Math.max(end_bytes, physical + size);
  }
  return end_bytes;
}

function stepUp(mib: number): number {
  return Math.ceil(mib / STEP_MIB) * STEP_MIB;
}

function readStart(path: string): Buffer {
  const fd = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(HEADERS_BYTES);
    return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0));
  } finally {
    closeSync(fd);
  }
}
