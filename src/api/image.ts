/** Images, as every client sees them. */
import { z } from "zod";
import { hostPath } from "./fields.ts";
import { vmCreate } from "./vm.ts";

export const imageName = z
  .string()
  .max(127)
  .regex(/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/, {
    error: "image names can contain lower-case letters, digits, dots, dashes and underscores",
  });

/** An image's name, its reference, or its digest. */
export const imageRef = z.string().min(1).max(4096);

const kernelName = z.string().max(255);

/** Such as "linux/arm64"; default: this computer's. */
const platform = z.string().max(64);

/** How Docker asks a container whether it is well; what is not said is Docker's default. */
export const healthcheck = z.object({
  /** "NONE"; "CMD" and the words of a command; or "CMD-SHELL" and a line for the image's shell. */
  test: z.array(z.string()),
  interval_ms: z.number().optional(),
  timeout_ms: z.number().optional(),
  startPeriod_ms: z.number().optional(),
  startInterval_ms: z.number().optional(),
  retries: z.int().optional(),
});
export type Healthcheck = z.infer<typeof healthcheck>;

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
  healthcheck: healthcheck.optional(),
  volumes: z.array(z.string()).optional(),
  /** What runs the shell form of commands. */
  shell: z.array(z.string()).optional(),
  /** Instructions for builds that begin with the image. */
  onBuild: z.array(z.string()).optional(),
  author: z.string().optional(),
});
export type ImageConfig = z.infer<typeof imageConfig>;

/** Absolute paths of what an image has beside its rootfs. */
export const imageFiles = z.object({
  /** A vmlinux or bzImage that its machines boot, where no kernel is named. */
  kernel: z.string().optional(),
  initrd: z.string().optional(),
  /** Folder with the modules of that kernel. */
  modules: z.string().optional(),
  /** A read-only ext4 whose "/root" is the start of "/root" in new machines. */
  workSeed: z.string().optional(),
});

/** An init system and an ssh server that lie on an image as a read-only layer of their own. */
export const provisionedLayer = z.object({
  /** Absolute path of an ext4 file system. */
  path: z.string(),
  size_bytes: z.int(),
  /** What it takes on disk. */
  allocated_bytes: z.int(),
  createdAt: z.iso.datetime(),
});

export const image = z.object({
  id: z.string(),
  name: imageName,
  /** Whether its files are banger's own. Those of an unmanaged image are the user's and stay where they are. */
  managed: z.boolean(),
  /** Canonical text of where it came from. */
  reference: z.string(),
  /** Digest of the platform's manifest; of an unmanaged image, of its rootfs. */
  digest: z.string(),
  /** Such as "linux/amd64". */
  platform: z.string(),
  /** The kernel that its machines boot unless told otherwise. */
  kernel: z.string().optional(),
  files: imageFiles,
  /** Apparent size of the rootfs. */
  size_bytes: z.int(),
  /** What the rootfs takes on disk. */
  allocated_bytes: z.int(),
  layers: z.int(),
  config: imageConfig,
  /** When its maker built it, by its own account: RFC 3339. */
  builtAt: z.string().optional(),
  /** When it came here. */
  createdAt: z.iso.datetime(),
  /** Absolute path of the rootfs, an ext4 file system. */
  rootfs: z.string(),
  /** What its first machine installed, and new ones have from the start. */
  provisioned: provisionedLayer.optional(),
});
export type Image = z.infer<typeof image>;

export const imagePull = z.object({
  /** A name of the catalog, a registry reference, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, docker-daemon:REF or containers-storage:REF. */
  reference: z.string().min(1).max(4096),
  name: imageName.optional(),
  kernel: kernelName.optional(),
  platform: platform.optional(),
  /** Pull again although the digest is already here. */
  force: z.boolean().optional(),
});
export type ImagePull = z.infer<typeof imagePull>;

export const imageBootstrap = z.object({
  /** Debian's release, such as "bookworm". */
  suite: z
    .string()
    .max(32)
    .regex(/^[a-z]+(-[a-z]+)*$/, {
      error: "Debian release names can contain lower-case letters and dashes",
    }),
  name: imageName.optional(),
  variant: z.enum(["minbase", "buildd", "important", "standard"]).optional(),
  packages: z
    .array(
      z
        .string()
        .max(128)
        .regex(/^[a-z0-9][a-z0-9+.-]+$/, {
          error:
            "Debian package names can contain lower-case letters, digits, dots, dashes and plus signs",
        }),
    )
    .max(512)
    .optional(),
  kernel: kernelName.optional(),
});
export type ImageBootstrap = z.infer<typeof imageBootstrap>;

export const imageRegister = z.object({
  name: imageName,
  /** An ext4 file system in a file. */
  rootfs: hostPath,
  /** Name of a kernel that is here; not together with `kernelFile`. */
  kernel: kernelName.optional(),
  /** A vmlinux or bzImage. */
  kernelFile: hostPath.optional(),
  initrd: hostPath.optional(),
  modules: hostPath.optional(),
  /** A folder, a tar (plain, gzip or zstd) or an ext4 file: the start of "/root" in new machines. */
  workSeed: hostPath.optional(),
});
export type ImageRegister = z.infer<typeof imageRegister>;

/** Docker's limit of 500 KiB, in base64. */
const SECRET_MAX_CHARS = 683_000;
/** By their ids, in base64. */
const buildSecrets = z.record(z.string().min(1).max(255), z.base64().max(SECRET_MAX_CHARS));

const buildArg = z.record(z.string().max(255), z.string().max(65_536));

/** Either a Dockerfile, or an image and a script that is run in a machine of it. */
export const imageBuild = z
  .object({
    name: imageName,
    /** The text of a Dockerfile. */
    dockerfile: z
      .string()
      .max(1 << 20)
      .optional(),
    /** Folder that COPY and ADD take files from. */
    context: hostPath.optional(),
    /** The text of .dockerignore. */
    ignore: z
      .string()
      .max(1 << 20)
      .optional(),
    fromImage: imageRef.optional(),
    /** Default: installs base packages. */
    script: z.object({ name: z.string().max(255), text: z.string().max(1 << 20) }).optional(),
    /** The stage to stop at; default: the last. */
    target: z.string().max(255).optional(),
    /** Of ARG instructions. */
    args: buildArg.optional(),
    /** What RUN --mount=type=secret gives to commands, and no image keeps. */
    secrets: buildSecrets.optional(),
    /** Sockets of ssh agents by their ids, for RUN --mount=type=ssh. */
    ssh: z.record(z.string().min(1).max(255), hostPath).optional(),
    kernel: kernelName.optional(),
    /** Of the machines that commands run in. */
    network: vmCreate.shape.network,
    cpus: vmCreate.shape.cpus,
    memory_mib: vmCreate.shape.memory_mib,
    disk_bytes: vmCreate.shape.disk_bytes,
    /** Runs every step again. */
    noCache: z.boolean().optional(),
    /** Pulls the images that stages begin with although they are here. */
    pull: z.boolean().optional(),
  })
  .refine(
    ({ dockerfile, fromImage, script }) =>
      dockerfile === undefined
        ? fromImage !== undefined
        : fromImage === undefined && script === undefined,
    {
      error: "expected either dockerfile, or fromImage with an optional script",
    },
  );
export type ImageBuild = z.infer<typeof imageBuild>;

export const imageTag = z.object({ name: imageRef, to: imageName });

export const imagePush = z.object({
  name: imageRef,
  /** Where to: a registry reference with a tag. */
  reference: z.string().min(1).max(1024),
});

export const imageSave = z.object({
  name: imageRef,
  /** "oci" makes a layout: a folder, or a tar when `path` ends with ".tar". "docker": a tar for `docker load`. */
  format: z.enum(["oci", "docker"]),
  path: hostPath,
  /** Replaces a file; a folder is never replaced. */
  force: z.boolean().optional(),
});
export type ImageSave = z.infer<typeof imageSave>;

/** An image that has left. */
export const imageExport = z.object({
  /** Where it went: a reference or a path. */
  target: z.string(),
  /** Of the manifest there. */
  digest: z.string(),
  /** Compressed bytes of its one layer. */
  size_bytes: z.int(),
});
export type ImageExport = z.infer<typeof imageExport>;

/** One step of an image's making, oldest first, as its maker recorded it. */
export const imageStep = z.object({
  created: z.string(),
  createdBy: z.string(),
  comment: z.string(),
  /** The layer that the step made, where it made one. */
  layer: z.object({ digest: z.string(), size_bytes: z.int(), mediaType: z.string() }).optional(),
});
export type ImageStep = z.infer<typeof imageStep>;

export const imageOutdated = z.object({
  name: imageName,
  reference: z.string(),
  /**
   * "pinned": pulled by digest, which cannot change. "local": from a file or from packages.
   * "unknown": its source could not be asked; `problem` says why.
   */
  state: z.enum(["current", "outdated", "pinned", "local", "unknown"]),
  digest: z.string(),
  /** What its reference means now. */
  latest: z.string().optional(),
  problem: z.string().optional(),
});
export type ImageOutdated = z.infer<typeof imageOutdated>;

export const imageUpdated = z.object({
  image,
  /** Whether its reference meant something newer. */
  changed: z.boolean(),
});
export type ImageUpdated = z.infer<typeof imageUpdated>;

export const imagePromote = z.object({
  name: imageRef,
  /** Gives the rootfs a second name where that can be, in place of a copy: whoever writes to it then writes to both. */
  link: z.boolean().optional(),
});

export const imageProvision = z.object({
  name: imageRef,
  /** Anew, although it has been done; machines stay on what they were made with. */
  force: z.boolean().optional(),
});
export type ImageProvision = z.infer<typeof imageProvision>;

/** An image that can be pulled by name. */
export const imageCatalogEntry = z.object({
  name: imageName,
  aliases: z.array(z.string()),
  description: z.string(),
  /** Architectures that it is made for: "amd64", "arm64". */
  arch: z.array(z.string()),
  /** Where it comes from: a reference, an address, or "recipe NAME". */
  source: z.string(),
  kernel: z.string().optional(),
  /** Whether it is already here. */
  pulled: z.boolean(),
});
export type ImageCatalogEntry = z.infer<typeof imageCatalogEntry>;
