import { expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { compressionOf } from "./compression.ts";
import { which } from "./run.ts";

test("compressionOf() knows what compressors write", () => {
  expect(compressionOf(gzipSync("x"))).toBe("gzip");
  expect(compressionOf(zstdCompressSync("x"))).toBe("zstd");
  for (const name of ["xz", "bzip2", "lz4", "lzop", "lzma"] as const) {
    const program = which(name);
    if (!program) continue;
    const { stdout } = Bun.spawnSync([program, "-c"], { stdin: Buffer.from("text") });
    expect(compressionOf(stdout)).toBe(name);
  }
});

test("compressionOf() knows nothing of other bytes, and looks at few", () => {
  for (const text of ["", "\u001f", "BZ", "tar", "070701", "\u007fELF\0\0"]) {
    expect(compressionOf(Buffer.from(text, "latin1"))).toBeUndefined();
  }
  expect(compressionOf(Buffer.from("5a2a4d18", "hex"))).toBe("zstd");
  expect(compressionOf(Buffer.from("02214c18", "hex"))).toBe("lz4");
  expect(compressionOf(Buffer.from("0042425a68", "hex").subarray(2))).toBe("bzip2");
});
