import { expect, test } from "bun:test";
import {
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copySparse } from "./copy-file.ts";

test("copySparse() keeps content, length and holes, and overwrites nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-sparse-"));
  try {
    const [from, to] = [join(folder, "from"), join(folder, "to")];
    const fd = openSync(from, "w");
    writeSync(fd, "start");
    writeSync(fd, Buffer.alloc(3 << 20, "x"), 0, 3 << 20, 16 << 20);
    truncateSync(from, 64 << 20);
    await copySparse(from, to);
    expect(statSync(to).size).toBe(64 << 20);
    expect(statSync(to).blocks * 512).toBeLessThan(8 << 20);
    expect(readFileSync(to).equals(readFileSync(from))).toBe(true);
    expect(copySparse(from, to)).rejects.toThrow("EEXIST");
    expect(statSync(to).size).toBe(64 << 20);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
