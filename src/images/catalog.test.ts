import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { schema } from "#config/schema.ts";
import { embeddedCatalog as kernelCatalog } from "#kernels/catalog.ts";
import { canonicalName, parseReference } from "#oci/reference.ts";
import { embeddedCatalog, findInCatalog, loadCatalog } from "./catalog.ts";

let folder = "";
let path = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-catalog-"));
  path = join(folder, "images.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(images: object[]): void {
  writeFileSync(path, JSON.stringify({ schema: 1, images }));
}

const own = {
  name: "mine",
  arch: ["arm64"],
  description: "",
  source: { kind: "registry", reference: "ghcr.io/me/mine:1" },
};

test("the embedded catalog names kernels that there are, references in full, and the default image", () => {
  const images = embeddedCatalog();
  for (const { arch, kernel, source } of images) {
    const kernels = kernelCatalog().kernels.filter((entry) => entry.name === kernel);
    const bootable = kernels.map((entry) => entry.arch as string);
    if (kernel) expect(bootable).toEqual(expect.arrayContaining(arch));
    if (source.kind !== "registry") continue;
    expect(canonicalName(parseReference(source.reference))).toBe(source.reference);
  }
  expect(findInCatalog(images, schema.default_image_name.fallback)).toBeDefined();
  expect(findInCatalog(images, "debian")?.name).toBe("debian-bookworm");
  expect(findInCatalog(images, "golden")).toBeDefined();
  expect(findInCatalog(images, "code-interpreter-v1")?.name).toBe("code-interpreter");
  expect(findInCatalog(images, "nothing")).toBeUndefined();
});

test("loadCatalog() puts the user's entries first, for the architecture that is asked for", () => {
  write([own, { ...own, arch: ["amd64"], name: "debian-bookworm" }]);
  const forArm = loadCatalog(path, "arm64");
  expect(forArm[0]?.name).toBe("mine");
  expect(findInCatalog(forArm, "debian-bookworm")?.source).not.toEqual(own.source);
  const [first, ...others] = loadCatalog(path, "amd64");
  expect(first).toMatchObject({ name: "debian-bookworm", source: own.source, aliases: [] });
  expect(others.map(({ name }) => name)).not.toContain("debian-bookworm");
});

test.each([
  [[own, own], "duplicate name"],
  [[own, { ...own, name: "other", aliases: ["mine"] }], "duplicate name"],
  [[{ ...own, name: "Not A Name" }], "images.0.name"],
  [
    [{ ...own, source: { kind: "bundle", url: "file:///x", sha256: "x", size_bytes: 0 } }],
    "source",
  ],
  [[{ ...own, source: { kind: "other" } }], "source"],
])("loadCatalog() refuses %j", (images, message) => {
  write(images);
  expect(() => loadCatalog(path, "amd64")).toThrow(message);
});

test("loadCatalog() refuses what is not JSON, and says which file it is", () => {
  writeFileSync(path, "{");
  expect(() => loadCatalog(path, "amd64")).toThrow(path);
});
