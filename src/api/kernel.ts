/** Kernels, as every client sees them. */
import { z } from "zod";
import { hostPath, hostPathOrAddress } from "./fields.ts";

const kernelNamePattern = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

export const kernelName = z.string().max(63).regex(kernelNamePattern, {
  error: "kernel names can contain lower-case letters, digits, dots and dashes",
});

const distroName = z.string().max(63).regex(kernelNamePattern, {
  error: "distribution names can contain lower-case letters, digits, dots and dashes",
});

export const kernel = z.object({
  name: kernelName,
  distro: z.string(),
  arch: z.string(),
  /** The kernel's own release, such as "6.12.117+deb12-cloud-amd64". */
  version: z.string(),
  /** Of the kernel file. */
  digest: z.string(),
  /** "debian: linux-image-…", "import: …". */
  source: z.string(),
  /** What its configuration has, such as "ext4", "overlay", "vsock". */
  features: z.array(z.string()),
  /** All of the bundle on disk. */
  size_bytes: z.int(),
  importedAt: z.iso.datetime(),
  /** Absolute path of the bundle's folder. */
  path: z.string(),
});
export type Kernel = z.infer<typeof kernel>;

export const catalogEntry = z.object({
  name: kernelName,
  distro: z.string(),
  arch: z.string(),
  description: z.string(),
  /** "debian", "tarball" or "recipe", which is built where it is wanted. */
  source: z.string(),
  /** Name of the catalog that has it. */
  catalog: z.string(),
  /** What is to be had now, where that is known. */
  version: z.string().optional(),
  /** Of the download. */
  size_bytes: z.int().optional(),
  features: z.array(z.string()),
  /** Whether it is already here. */
  pulled: z.boolean(),
  /** Whether what is here is not what is to be had now. */
  outdated: z.boolean(),
});
export type CatalogEntry = z.infer<typeof catalogEntry>;

export const kernelPull = z.object({
  name: z.string().min(1).max(255),
  force: z.boolean().optional(),
  /** Fails where the catalog has a recipe in place of a download. */
  noBuild: z.boolean().optional(),
});

const arch = z.enum(["amd64", "arm64"]);

export const kernelImport = z.object({
  /** Absolute path of a folder with vmlinux or vmlinuz, optional initrd* and modules/. */
  from: hostPath,
  name: kernelName.optional(),
  /** Default: from the name. */
  distro: distroName.optional(),
  /** What the kernel must be for; default: whatever it is for. */
  arch: arch.optional(),
  force: z.boolean().optional(),
});

export const kernelRef = z.string().min(1).max(255);

export const kernelBuild = z.object({
  /** Name of a recipe, or the absolute path of one, which ends with ".toml". */
  recipe: hostPathOrAddress,
  arch: arch.optional(),
  /** Default: the recipe's. */
  name: kernelName.optional(),
  force: z.boolean().optional(),
  /** Compilers at a time. */
  jobs: z.int().min(1).max(1024).optional(),
});

export const kernelPublish = z.object({
  name: kernelRef,
  /** Absolute path of a folder, REMOTE:PATH of rclone, or s3://BUCKET/PREFIX. */
  to: hostPathOrAddress,
  /** Public address of `to`. */
  url: z.url(),
  /** Absolute path of the catalog file that gets the entry. */
  catalog: hostPath,
  /** Absolute path of the secret key that the catalog is signed with afterwards. */
  key: hostPath.optional(),
  description: z.string().max(300).optional(),
});

export const kernelUnpublish = kernelPublish
  .pick({ name: true, to: true, catalog: true, key: true })
  .extend({ arch: arch.optional() });

export const kernelPublished = z.object({
  name: kernelName,
  arch: z.string(),
  version: z.string().optional(),
  url: z.string(),
  sha256: z.string(),
  size_bytes: z.int(),
  /** Of the changed catalog. */
  catalog: z.string(),
});
export type KernelPublished = z.infer<typeof kernelPublished>;

export const kernelCatalog = z.object({
  name: z.string(),
  /** A path or an address. */
  from: z.string(),
  /** Of the key that it must be signed with. */
  keyId: z.string().optional(),
  updatedAt: z.string().optional(),
  kernels: z.int(),
  /** Why it cannot be used now. */
  problem: z.string().optional(),
});
export type KernelCatalog = z.infer<typeof kernelCatalog>;

export const kernelCatalogAdd = z.object({
  /** Absolute path of a file, or an https URL. */
  from: hostPathOrAddress,
  /** Default: made from the file's or the server's name. */
  name: kernelName.optional(),
  /** minisign public key; a URL must have one. */
  key: z.string().max(1000).optional(),
});

export const kernelKeyPair = z.object({
  /** Paths of the two files. */
  secret: z.string(),
  public: z.string(),
  /** The public key itself. */
  key: z.string(),
});

export const kernelDefault = z.object({
  name: kernelName,
  /** `chosen` by setDefault, or default_kernel of the `configuration`. */
  origin: z.enum(["chosen", "configuration"]),
});
