import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assertSavable } from "./save.ts";

test("an image is saved only where a directory is, which is known before it is packed", () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-save-"));
  try {
    writeFileSync(join(folder, "file"), "");
    symlinkSync("loop", join(folder, "loop"));
    for (const place of ["file", "loop", "missing", "n".repeat(300)]) {
      const path = join(folder, place, "x.tar");
      expect(() => assertSavable(path, { format: "oci" })).toThrow(
        `Cannot save to "${path}": no such directory`,
      );
    }
    assertSavable(join(folder, "x.tar"), { format: "oci" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
