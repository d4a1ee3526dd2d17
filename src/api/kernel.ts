/** Kernels, as every client sees them. */
import { z } from "zod";

export const kernelName = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, {
    error: "a kernel's name has lower-case letters, digits, dots and dashes",
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
  /** "debian", "tarball" or "recipe". */
  source: z.string(),
  /** Whether it is already here. */
  pulled: z.boolean(),
});
export type CatalogEntry = z.infer<typeof catalogEntry>;

export const kernelPull = z.object({
  name: z.string().min(1).max(255),
  force: z.boolean().optional(),
});

export const kernelImport = z.object({
  /** Absolute path of a folder with vmlinux or vmlinuz, optional initrd* and modules/. */
  from: z.string().min(1).max(4096),
  name: kernelName.optional(),
  force: z.boolean().optional(),
});

export const kernelRef = z.string().min(1).max(255);
