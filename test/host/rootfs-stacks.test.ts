/** Random stacks of layers of every kind of entry: each becomes a file system that e2fsck finds no fault with, or is refused. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { run } from "#base/run.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import { testNeeding } from "#test/needs.ts";
import { makeLayer, makeTar, type TarSpec } from "#test/tar-build.ts";

const here = testNeeding("e2fsck");

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-stacks-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const part = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("a", "b", "c", "d") },
  { weight: 1, arbitrary: fc.constantFrom(".wh.a", ".wh.b", ".wh..wh..opq", "x".repeat(255)) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 20 }) },
);
const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const size = fc.oneof(fc.nat(64), fc.nat(20_000), fc.nat(300_000));
const xattr = fc.oneof(fc.constant(0), fc.constant(0), fc.nat(3000));

const entry: fc.Arbitrary<TarSpec[]> = fc
  .record({
    kind: fc.constantFrom("0", "0", "0", "1", "2", "3", "4", "5", "5", "6", "many"),
    name: path,
    to: path,
    size,
    xattr,
    mode: fc.nat(0o7777),
    uid: fc.nat(0o7777777),
    mtime: fc.nat(0o77777777777),
  })
  .map(({ kind, name, to, size, xattr, ...rest }) => {
    const pax = xattr ? { pax: { "SCHILY.xattr.user.x": Buffer.alloc(xattr, "v") } } : {};
    if (kind === "many") {
      // Enough for a hashed folder.
      const names = Array.from({ length: 300 }, (_, index) => `${name}/${"n".repeat(40)}${index}`);
      return names.map((each) => ({ name: each, content: "", ...rest }));
    }
    const content = kind === "0" ? Buffer.alloc(size, name) : "";
    const linkName = kind === "1" || kind === "2" ? { linkName: to } : {};
    const device = kind === "3" || kind === "4" ? { major: size % 4096, minor: xattr } : {};
    return [{ name, type: kind, content, ...linkName, ...device, ...pax, ...rest }];
  });

here("every stack that is not refused is clean, and leaves no other file", async () => {
  const layer = fc.array(entry, { maxLength: 12 }).map((entries) => entries.flat());
  let clean = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 4 }), async (stack) => {
      const file = join(folder, "image.ext4");
      try {
        const layers = stack.map((specs) => makeLayer(makeTar(specs)));
        await buildRootfs(layers, { path: file, seed: sha256("stack") });
      } catch (error) {
        expect(error).toBeInstanceOf(BangerError);
        expect(readdirSync(folder)).toEqual([]);
        return;
      }
      const { exitCode, stdout } = await run(["e2fsck", "-fn", file]);
      rmSync(file);
      expect([exitCode, exitCode === 0 ? "" : stdout]).toEqual([0, ""]);
      clean++;
    }),
    { numRuns: 150 },
  );
  // Not all of them were refused.
  expect(clean).toBeGreaterThan(20);
});
