/** Layouts and archives as skopeo and umoci write them, and as they come out of our reader. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "#base/digest.ts";
import { runOk } from "#base/run.ts";
import { openImage } from "#oci/source.ts";
import { layoutFiles, type MadeImage, makeImage, writeFiles } from "#test/oci-image.ts";

let folder: string;
let layout: string;
let image: MadeImage;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-archives-"));
  layout = join(folder, "layout");
  // The same layer twice: old docker archives link the second to the first.
  const layers: Record<string, string>[] = [{ a: "one" }, { b: "two".repeat(5000) }, { a: "one" }];
  image = await makeImage({ layers, config: { Env: ["A=b"], Entrypoint: ["/x"] } });
  writeFiles(layout, layoutFiles([image], { latest: image.manifest }));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ["docker-archive", ":thing:1"],
  ["oci-archive", ":thing"],
  ["oci", ":thing"],
])("openImage() reads what skopeo writes as %s", async (kind, name) => {
  const target = `${kind}:${join(folder, `skopeo-${kind}`)}${name}`;
  await runOk(["skopeo", "copy", "--insecure-policy", `oci:${layout}:latest`, target]);
  for (const text of [target, target.slice(0, -name.length)]) {
    await using opened = await openImage(text, { cacheDir: folder, platform: "amd64" });
    expect(opened.config).toMatchObject({ env: ["A=b"], entrypoint: ["/x"] });
    expect(opened.layers.length).toBe(3);
    for (const [index, layer] of opened.layers.entries()) {
      const bytes = Buffer.concat(await Array.fromAsync(layer.compressed()));
      const isPlain = kind === "docker-archive";
      const expected = isPlain ? image.tars[index] : image.layers[index]?.bytes;
      expect(sha256(bytes)).toBe(sha256(expected ?? ""));
      expect(layer.diffId).toBe(sha256(image.tars[index] ?? ""));
    }
  }
});

test("openImage() reads a layout that umoci has made", async () => {
  const made = join(folder, "umoci");
  await runOk(["umoci", "init", "--layout", made]);
  await runOk(["umoci", "new", "--image", `${made}:empty`]);
  await runOk(["umoci", "config", "--image", `${made}:empty`, "--config.cmd", "/bin/x"]);
  await using opened = await openImage(`oci:${made}:empty`, { cacheDir: folder });
  expect(opened.config.cmd).toEqual(["/bin/x"]);
  expect(opened.layers).toEqual([]);
});
