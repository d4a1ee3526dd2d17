import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "#base/run.ts";
import { subjectHash } from "./trust.ts";

test("OpenSSL looks for a root under the name that it is given", async () => {
  const folder = mkdtempSync(join(tmpdir(), "banger-hash-"));
  try {
    const path = join(folder, "ca.pem");
    for (const name of ["banger ca 0123456789abcdef", "A"]) {
      const make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
      const files = ["-nodes", "-keyout", join(folder, "key.pem"), "-out", path];
      await run(["openssl", ...make, ...files, "-subj", `/CN=${name}`]);
      const { stdout } = await run(["openssl", "x509", "-in", path, "-noout", "-subject_hash"]);
      expect(subjectHash(await Bun.file(path).text())).toBe(stdout.trim());
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
