/** `manifest.json` of a kernel bundle: version, source and features of the kernel. */
import { z } from "zod";
import { type Digest, isDigest } from "#base/digest.ts";

export const MAX_MANIFEST_BYTES = 1024 * 1024;
const MAX_MODULES = 1000;
const MAX_FEATURES = 1000;

export const archSchema = z.enum(["amd64", "arm64"]);
export type Arch = z.infer<typeof archSchema>;

export const nameSchema = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/);

const digestSchema = z.custom<Digest>((value) => typeof value === "string" && isDigest(value));

/** A path relative to the bundle. */
const insideSchema = z
  .string()
  .min(1)
  .max(500)
  .refine((path) => !path.startsWith("/") && !path.split("/").includes(".."));

export const featureSchema = z.object({
  name: z.string(),
  kind: z.enum(["built-in", "module"]),
});
export type Feature = z.infer<typeof featureSchema>;

/** A module that the initrd loads; the list is in load order. */
export const bootModuleSchema = z.object({
  name: z.string().min(1).max(100),
  file: insideSchema,
  /** Only for a VMM with vsock. */
  only: z.enum(["vsock"]).optional(),
});
export type BootModule = z.infer<typeof bootModuleSchema>;

export const sourceSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("debian"),
    /** The package and its exact version. */
    package: z.string(),
    version: z.string(),
    sha256: digestSchema,
  }),
  z.object({ kind: z.literal("import"), from: z.string() }),
  z.object({ kind: z.literal("tarball"), url: z.string(), sha256: digestSchema }),
  z.object({
    kind: z.literal("recipe"),
    recipe: z.string(),
    /** Hash of recipe, source and toolchain, which identifies the kernel. */
    key: digestSchema,
    /** Name and version of the source. */
    from: z.string(),
  }),
]);
export type ManifestSource = z.infer<typeof sourceSchema>;

export const manifestSchema = z.object({
  schema: z.literal(1),
  name: nameSchema,
  distro: z.string().min(1).max(63),
  arch: archSchema,
  /** The kernel release, `uname -r`. */
  version: z.string().min(1).max(200),
  /** Name of the kernel file: "elf" is `vmlinux`, "bzImage" is `vmlinuz`, "Image" (arm64) is `Image`. */
  format: z.enum(["elf", "bzImage", "Image"]),
  /** Of the kernel file. */
  sha256: digestSchema,
  /** Size of the kernel file, which reveals truncation by a power cut. */
  kernel_bytes: z.int().min(1).optional(),
  source: sourceSchema,
  importedAt: z.iso.datetime(),
  features: z.array(featureSchema).max(MAX_FEATURES),
  modules: z.array(bootModuleSchema).max(MAX_MODULES),
  /** Whether the bundle has an `initrd.img`. */
  initrd: z.boolean(),
  /** Disk usage of the bundle. */
  size_bytes: z.int().min(0),
});
export type Manifest = z.infer<typeof manifestSchema>;
/** As known before the bundle is complete. */
export type FilledManifest = Omit<Manifest, "size_bytes" | "kernel_bytes">;

/** "debian: linux-image-… 6.12.117-1", "import: /home/…". */
export function describeSource(source: ManifestSource): string {
  switch (source.kind) {
    case "debian":
      return `debian: ${source.package} ${source.version}`;
    case "import":
      return `import: ${source.from}`;
    case "tarball":
      return `tarball: ${source.url}`;
    case "recipe":
      return `recipe: ${source.recipe}, ${source.from}`;
  }
}
