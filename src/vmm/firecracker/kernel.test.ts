import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkKernel } from "./kernel.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-kernel-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function kernel(at: number, mark: string): string {
  const bytes = Buffer.alloc(2048);
  bytes.write(mark, at, "latin1");
  const path = join(folder, "kernel");
  writeFileSync(path, bytes);
  return path;
}

test("an ELF file is good on x86, an Image on arm64", () => {
  checkKernel(kernel(0, "\x7fELF"), "x64");
  checkKernel(kernel(56, "ARMd"), "arm64");
  expect(() => checkKernel(kernel(0, "\x7fELF"), "arm64")).toThrow('not an arm64 "Image"');
});

test("what is wrong is said", () => {
  expect(() => checkKernel(kernel(0x202, "HdrS"), "x64")).toThrow("compressed kernel (bzImage)");
  expect(() => checkKernel(kernel(0, "nope"), "x64")).toThrow("not an ELF file (vmlinux)");
  expect(() => checkKernel(join(folder, "none"), "x64")).toThrow("no such file");
  writeFileSync(join(folder, "short"), "x");
  expect(() => checkKernel(join(folder, "short"), "x64")).toThrow("not an ELF file");
});
