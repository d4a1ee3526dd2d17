/** Linux, compiled by the recipes of the program, as far as BANGER_TEST_KERNELS asks for it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { hostArch } from "#kernels/catalog.ts";
import { featuresOf } from "#kernels/features.ts";
import { choicesOf, loadRecipe, recipeNames } from "#kernels/recipe/recipe.ts";
import { COMPILE_TIMEOUT_MS, compiled, compilesAll, mayCompile } from "#test/kernel-builds.ts";

const VMLINUX_MAX_BYTES = 24 * MiB;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync("/tmp/banger-recipes-");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("every recipe has choices for each of its architectures", () => {
  for (const name of recipeNames()) {
    const recipe = loadRecipe(name);
    for (const arch of recipe.arches) expect(choicesOf(recipe, arch).on.length).toBeGreaterThan(50);
  }
});

const recipes = compilesAll
  ? recipeNames().flatMap((name) => loadRecipe(name).arches.map((arch) => ({ name, arch })))
  : [{ name: "generic-6.12", arch: hostArch() }];
for (const { name, arch } of mayCompile ? recipes : []) {
  const title = `${name} for ${arch} compiles, with all that its recipe wants built in`;
  test(
    title,
    async () => {
      const { bundle } = await compiled(name, { dir: join(folder, "kernels"), arch });
      const { manifest, path } = bundle;
      expect(manifest.arch).toBe(arch);
      expect(manifest.version.startsWith(`${loadRecipe(name).version}.`)).toBe(true);
      expect(manifest.modules).toEqual([]);
      expect(manifest.features.every(({ kind }) => kind === "built-in")).toBe(true);
      const config = readFileSync(join(path, "config"), "utf8");
      for (const option of choicesOf(loadRecipe(name), arch).on) {
        expect(config).toContain(`CONFIG_${option}=y\n`);
      }
      expect(featuresOf(config).map((feature) => feature.name)).toContain("virtio-blk");
      if (arch === "amd64") {
        expect(statSync(join(path, "vmlinux")).size).toBeLessThanOrEqual(VMLINUX_MAX_BYTES);
      }
    },
    COMPILE_TIMEOUT_MS,
  );
}

for (const name of compilesAll ? ["minimal-6.12"] : []) {
  test(
    `${name} compiled twice, in different folders, is the same`,
    async () => {
      const dir = join(folder, "kernels");
      const first = await compiled(name, { dir });
      const builds = join(folder, "elsewhere", "builds");
      const second = await compiled(name, { dir: join(folder, "again"), builds });
      expect(second.changed).toBe(true);
      expect(second.bundle.manifest.sha256).toBe(first.bundle.manifest.sha256);
    },
    COMPILE_TIMEOUT_MS,
  );
}
