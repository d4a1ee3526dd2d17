import { describe, expect, test } from "bun:test";
import { BangerError } from "#base/error.ts";
import { imageDependency, packageOf, parseStanza } from "./apt.ts";
import { catalogSchema, embeddedCatalog, entriesFor, findEntry } from "./catalog.ts";
import { embeddedConfig, featureNames, featuresOf } from "./features.ts";
import { manifestSchema } from "./manifest.ts";

const entry = {
  name: "generic-6.12",
  distro: "generic",
  arch: "amd64",
  description: "x",
  source: { kind: "recipe", recipe: "generic-6.12" },
};

describe("catalog", () => {
  test("the embedded one is valid and has what the manual names", () => {
    const names = entriesFor(embeddedCatalog(), "amd64").map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["debian-6.12", "debian-6.1"]));
  });

  test("takes every kind of source, and one name for each architecture", () => {
    const tarball = {
      kind: "tarball",
      url: "https://example.org/a.tar.zst",
      sha256: `sha256:${"0".repeat(64)}`,
      size_bytes: 10,
    };
    const kernels = [
      entry,
      { ...entry, arch: "arm64", source: tarball },
      { ...entry, name: "b", source: { kind: "debian", package: "linux-image-amd64" } },
    ];
    expect(catalogSchema.safeParse({ schema: 1, kernels }).success).toBe(true);
  });

  test("takes every feature that a kernel can be found to have", () => {
    const kernels = [{ ...entry, features: featureNames() }];
    expect(catalogSchema.safeParse({ schema: 1, kernels }).success).toBe(true);
  });

  test("refuses what is ambiguous or could be misread", () => {
    for (const bad of [
      { ...entry, name: "../x" },
      { ...entry, arch: "riscv" },
      { ...entry, source: { kind: "debian", package: "-o Dir::Etc=x" } },
      { ...entry, source: { kind: "tarball", url: "x", sha256: "y", size_bytes: 1 } },
    ]) {
      expect(catalogSchema.safeParse({ schema: 1, kernels: [bad] }).success).toBe(false);
    }
    expect(catalogSchema.safeParse({ schema: 1, kernels: [entry, entry] }).success).toBe(false);
    expect(catalogSchema.safeParse({ schema: 2, kernels: [] }).success).toBe(false);
  });

  test("finds by name and architecture, and helps with a slip", () => {
    const catalog = catalogSchema.parse({ schema: 1, kernels: [entry] });
    expect(findEntry(catalog, "generic-6.12", "amd64").distro).toBe("generic");
    const failure = (name: string, arch: "amd64" | "arm64"): BangerError => {
      try {
        findEntry(catalog, name, arch);
      } catch (error) {
        if (error instanceof BangerError) return error;
      }
      throw new Error("it was found");
    };
    expect(failure("generic-6.12", "arm64").code).toBe("unsupported");
    expect(failure("genric-6.12", "amd64")).toMatchObject({
      code: "not_found",
      hint: 'Did you mean "generic-6.12"?',
    });
  });
});

describe("apt", () => {
  const stanza = `Package: linux-image-6.12.1+deb12-cloud-amd64
Version: 6.12.1-1~deb12u1
Architecture: amd64
Depends: kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool
Description: Linux
 goes on
 here
Filename: pool/main/l/linux/linux-image-6.12.1+deb12-cloud-amd64_6.12.1-1~deb12u1_amd64.deb
Size: 34307256
SHA256: ${"a".repeat(64)}

Package: other
`;

  test("reads the first stanza of the index", () => {
    const fields = parseStanza(`\n${stanza}`);
    expect(fields.get("Description")).toBe("Linux\ngoes on\nhere");
    expect(packageOf(fields)).toEqual({
      name: "linux-image-6.12.1+deb12-cloud-amd64",
      version: "6.12.1-1~deb12u1",
      arch: "amd64",
      file: "linux-image-6.12.1+deb12-cloud-amd64_6.12.1-1~deb12u1_amd64.deb",
      size_bytes: 34_307_256,
      sha256: `sha256:${"a".repeat(64)}` as never,
    });
  });

  test("refuses a package without digest, size or a plain file name", () => {
    for (const [field, value] of [
      ["SHA256", "abc"],
      ["SHA256", undefined],
      ["Size", "-1"],
      ["Size", "99999999999"],
      ["Filename", "pool/.."],
      ["Filename", "pool/a b.deb"],
    ] as const) {
      const fields = parseStanza(stanza);
      if (value === undefined) fields.delete(field);
      else fields.set(field, value);
      expect(() => packageOf(fields)).toThrow(BangerError);
    }
  });

  test("tells a meta-package from the kernel's own", () => {
    expect(imageDependency(parseStanza(stanza).get("Depends") ?? "")).toBeUndefined();
    expect(imageDependency("linux-image-6.12.1-amd64 (= 6.12.1-1)")).toBe(
      "linux-image-6.12.1-amd64",
    );
    expect(imageDependency("kmod, linux-image-a:amd64 | linux-image-b")).toBe("linux-image-a");
  });
});

test("features are those whose options are all there", () => {
  const config = `CONFIG_OVERLAY_FS=m
CONFIG_EXT4_FS=y
# CONFIG_XFS_FS is not set
CONFIG_9P_FS=y
CONFIG_BPF_SYSCALL=y
CONFIG_CGROUP_BPF=m
CONFIG_IPV6="y"
`;
  expect(featuresOf(config)).toEqual([
    { name: "bpf", kind: "module" },
    { name: "ext4", kind: "built-in" },
    { name: "overlay", kind: "module" },
  ]);
  expect(featuresOf("")).toEqual([]);
});

test("a configuration inside the kernel is found, and damage is not taken for one", () => {
  const packed = Bun.gzipSync("CONFIG_EXT4_FS=y\n");
  const kernel = (body: Uint8Array): Buffer =>
    Buffer.concat([Buffer.from("xxIKCFG_ST"), body, Buffer.from("IKCFG_EDxx")]);
  expect(embeddedConfig(kernel(packed))).toBe("CONFIG_EXT4_FS=y\n");
  expect(embeddedConfig(kernel(packed.subarray(0, 12)))).toBeUndefined();
  expect(embeddedConfig(Buffer.from("IKCFG_ST"))).toBeUndefined();
  expect(embeddedConfig(Buffer.from(""))).toBeUndefined();
});

test("a manifest with an escaping path is none", () => {
  const path = (file: string) =>
    manifestSchema.shape.modules.safeParse([{ name: "a", file }]).success;
  expect(path("boot/a.ko")).toBe(true);
  for (const file of ["/boot/a.ko", "../a.ko", "boot/../../a.ko", ""])
    expect(path(file)).toBe(false);
});
