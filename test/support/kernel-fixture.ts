/** Small fake kernels, for tests that do not boot. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeElf, xenNote } from "./elf.ts";

export interface FixtureOptions {
  version?: string;
  machine?: number;
  /** Bytes that do not compress, so that a transfer takes its time. */
  ballast_bytes?: number;
}

/** An ELF file with the banner of Linux in it. */
export function kernelBytes(options: FixtureOptions = {}): Buffer {
  const { version = "6.12.1-fixture", machine = 62, ballast_bytes = 0 } = options;
  const banner = Buffer.from(`Linux version ${version} (a@b) (gcc) #1\n`);
  const ballast = Buffer.alloc(ballast_bytes);
  let state = 1;
  for (let at = 0; at + 4 <= ballast.length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    ballast.writeUInt32LE(state, at);
  }
  const sections = { ".rodata": banner, ".ballast": ballast };
  return makeElf({ machine, sections, notes: xenNote(18) });
}

/** A folder as `kernel import --from` takes it. */
export function writeKernelFolder(folder: string, options: FixtureOptions = {}): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "vmlinux"), kernelBytes(options));
  writeFileSync(join(folder, "config"), "CONFIG_EXT4_FS=y\nCONFIG_WIREGUARD=y\n");
  return folder;
}
