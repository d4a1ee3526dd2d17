/** What is mounted in a machine and limited in its guest, as every client sees it. */
import { z } from "zod";
import { hostPath } from "#api/fields.ts";

/** Volumes and directories of the host, and temporary file systems, each. */
export const MOUNTS_MAX = 8;
export const VOLUME_MIN_BYTES = 16 * 1024 * 1024;
export const VOLUME_MAX_BYTES = 16 * 1024 ** 4;
const SWAP_MIN_BYTES = 1024 * 1024;
const PATH_MAX_LENGTH = 1024;

/** As docker names them. */
export const volumeName = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, {
    error:
      "volume names can contain letters, digits, underscores, dots and dashes, and start with a letter or digit",
  });

/** In the guest: absolute, below its root. */
const mountPath = z
  .string()
  .max(PATH_MAX_LENGTH)
  .regex(/^\/[^\0]*[^/\0][^\0]*$/, { error: "not an absolute path below /" });

export const volumeMount = z.object({
  volume: volumeName,
  path: mountPath,
  readOnly: z.boolean().optional(),
});
export type VolumeMount = z.infer<typeof volumeMount>;

/** A directory of the host, shared live. */
export const share = z.object({
  source: hostPath,
  path: mountPath,
  readOnly: z.boolean().optional(),
});
export type Share = z.infer<typeof share>;

export const rlimitName = z.enum([
  "cpu",
  "fsize",
  "data",
  "stack",
  "core",
  "rss",
  "nproc",
  "nofile",
  "memlock",
  "as",
  "locks",
  "sigpending",
  "msgqueue",
  "nice",
  "rtprio",
  "rttime",
]);

/** -1: unlimited. */
const limit = z.int().min(-1);

/** What docker run sets of a container's kernel and mounts. */
export const guestOptions = z.object({
  tmpfs: z
    .array(
      z.object({
        path: mountPath,
        size_bytes: z.int().min(4096).optional(),
        mode: z.int().min(0).max(0o7777).optional(),
      }),
    )
    .max(MOUNTS_MAX)
    .optional(),
  /** Of /dev/shm; default: half of the memory. */
  shm_bytes: z.int().min(4096).optional(),
  /** Of a file on the machine's own disk. */
  swap_bytes: z.int().min(SWAP_MIN_BYTES).max(VOLUME_MAX_BYTES).optional(),
  /** The root file system; mounts are not concerned. */
  readOnly: z.boolean().optional(),
  /** "net.core.somaxconn" or "net/core/somaxconn". */
  sysctls: z
    .record(
      z
        .string()
        .max(256)
        .regex(/^[\w-]+([./][\w:@-]+)+$/, { error: "not the name of a sysctl" }),
      z.string().max(1024),
    )
    .refine((all) => Object.keys(all).length <= 64, { error: "too many sysctls: more than 64" })
    .optional(),
  /** Of processes that are started by the host: the machine's command, exec, sessions. */
  ulimits: z
    .array(z.object({ name: rlimitName, soft: limit, hard: limit }))
    .max(rlimitName.options.length)
    .optional(),
});
export type GuestOptions = z.infer<typeof guestOptions>;

export const volume = z.object({
  name: volumeName,
  /** Apparent; it is sparse. */
  size_bytes: z.int(),
  allocated_bytes: z.int(),
  /** Machines that mount it, running or not. */
  machines: z.array(z.string()),
  createdAt: z.iso.datetime(),
  /** Id of the API token that made it. */
  token: z.string().optional(),
});
export type Volume = z.infer<typeof volume>;

export const volumeSize = z.int().min(VOLUME_MIN_BYTES).max(VOLUME_MAX_BYTES);

export const volumeCreate = z.object({
  name: volumeName,
  /** Default: vm.disk of the configuration. */
  size_bytes: volumeSize.optional(),
});
