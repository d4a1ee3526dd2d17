import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { BootSpec } from "./driver.ts";
import { assertKernelFits, kernelEnd_bytes } from "./kernel-memory.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync("/tmp/banger-memory-");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function file(bytes: Uint8Array): string {
  const path = join(folder, "kernel");
  writeFileSync(path, bytes);
  return path;
}

/** An ELF file whose segments are at these addresses. */
function elf(segments: { type: number; physical: number; size: number }[]): Buffer {
  const bytes = Buffer.alloc(64 + segments.length * 56);
  bytes.write("\x7fELF\x02\x01", "latin1");
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(segments.length, 56);
  for (const [index, { type, physical, size }] of segments.entries()) {
    const at = 64 + index * 56;
    bytes.writeUInt32LE(type, at);
    bytes.writeBigUInt64LE(BigInt(physical), at + 24);
    bytes.writeBigUInt64LE(BigInt(size), at + 40);
  }
  return bytes;
}

const debian = elf([
  { type: 1, physical: 16 * MiB, size: 30 * MiB },
  { type: 1, physical: 50 * MiB, size: 16 * MiB },
  { type: 4, physical: 500 * MiB, size: 1 },
]);

test("a kernel ends where its last loaded byte is, in each form that it comes in", () => {
  expect(kernelEnd_bytes(file(debian))).toBe(66 * MiB);
  const bzImage = Buffer.alloc(0x264);
  bzImage.write("HdrS", 0x202);
  bzImage.writeBigUInt64LE(BigInt(16 * MiB), 0x258);
  bzImage.writeUInt32LE(50 * MiB, 0x260);
  expect(kernelEnd_bytes(file(bzImage))).toBe(66 * MiB);
  const image = Buffer.alloc(64);
  image.write("ARMd", 56);
  image.writeBigUInt64LE(BigInt(2 * MiB), 8);
  image.writeBigUInt64LE(BigInt(40 * MiB), 16);
  expect(kernelEnd_bytes(file(image))).toBe(42 * MiB);
  expect(kernelEnd_bytes(file(Buffer.from("#!/bin/sh\n")))).toBeUndefined();
});

test("memory that does not hold kernel, initrd and some more is refused with the least that does", () => {
  const initrdPath = join(folder, "initrd");
  writeFileSync(initrdPath, "");
  truncateSync(initrdPath, 2 * MiB);
  const kernelPath = file(debian);
  const spec = { id: "small", kernelPath, initrdPath } as BootSpec;
  assertKernelFits({ ...spec, memory_mib: 84 });
  for (const memory_mib of [64, 66, 83]) {
    expect(() => assertKernelFits({ ...spec, memory_mib })).toThrow(
      `its kernel does not fit in ${memory_mib} MiB of memory, it needs at least 84 MiB`,
    );
  }
});

test("any bytes are a size or none", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 900 }),
      fc.constantFrom("\x7fELF", ""),
      (bytes, head) => {
        const start = Buffer.from(head, "latin1");
        try {
          kernelEnd_bytes(file(Buffer.concat([start, bytes])));
        } catch (error) {
          expect(error).toBeInstanceOf(BangerError);
        }
      },
    ),
  );
});
