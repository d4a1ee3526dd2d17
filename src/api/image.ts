/** Images, as every client sees them. */
import { z } from "zod";

export const imageName = z
  .string()
  .max(127)
  .regex(/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/, {
    error: "an image's name has lower-case letters, digits, dots, dashes and underscores",
  });

/** What banger keeps of an OCI image's configuration. */
export const imageConfig = z.object({
  entrypoint: z.array(z.string()).optional(),
  cmd: z.array(z.string()).optional(),
  /** "NAME=value" each. */
  env: z.array(z.string()).optional(),
  workdir: z.string().optional(),
  user: z.string().optional(),
  /** Such as "80/tcp". */
  exposedPorts: z.array(z.string()).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  stopSignal: z.string().optional(),
});
export type ImageConfig = z.infer<typeof imageConfig>;

export const image = z.object({
  id: z.string(),
  name: imageName,
  /** Canonical text of where it came from. */
  reference: z.string(),
  /** Digest of the platform's manifest. */
  digest: z.string(),
  /** Such as "linux/amd64". */
  platform: z.string(),
  /** The kernel that its machines boot unless told otherwise. */
  kernel: z.string().optional(),
  /** Apparent size of rootfs.ext4. */
  size_bytes: z.int(),
  /** What rootfs.ext4 takes on disk. */
  allocated_bytes: z.int(),
  layers: z.int(),
  config: imageConfig,
  createdAt: z.iso.datetime(),
  /** Absolute path of rootfs.ext4. */
  rootfs: z.string(),
});
export type Image = z.infer<typeof image>;

export const imagePull = z.object({
  /** A registry reference, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE. */
  reference: z.string().min(1).max(4096),
  name: imageName.optional(),
  kernel: z.string().max(255).optional(),
  /** Such as "linux/arm64"; default: this computer's. */
  platform: z.string().max(64).optional(),
  /** Pull again although the digest is already here. */
  force: z.boolean().optional(),
});
export type ImagePull = z.infer<typeof imagePull>;

export const imageBootstrap = z.object({
  /** Debian's release, such as "bookworm". */
  suite: z
    .string()
    .regex(/^[a-z]+(-[a-z]+)*$/)
    .max(32),
  name: imageName.optional(),
  variant: z.enum(["minbase", "buildd", "important", "standard"]).optional(),
  packages: z
    .array(
      z
        .string()
        .regex(/^[a-z0-9][a-z0-9+.-]+$/)
        .max(128),
    )
    .max(512)
    .optional(),
  kernel: z.string().max(255).optional(),
});
export type ImageBootstrap = z.infer<typeof imageBootstrap>;

/** An image's name, its reference, or its digest. */
export const imageRef = z.string().min(1).max(4096);
