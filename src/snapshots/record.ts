/** What is kept of a machine with its snapshot: all that a machine made from it needs to be like it. */
import { z } from "zod";
import { imageName } from "#api/image.ts";
import { kernelName } from "#api/kernel.ts";
import { guestOptions } from "#api/mount/mount.ts";
import { MACHINE_NETWORKS_MAX, networkName } from "#api/network.ts";
import { bootMode, networkMode, restartPolicy, vmCreate, vmName } from "#api/vm.ts";
import { type Digest, isDigest } from "#base/digest.ts";
import { isId } from "#base/id.ts";

export const RECORD_FORMAT = 1;
const TEXT_MAX = 4096;

const digest = z.custom<Digest>((value) => typeof value === "string" && isDigest(value), {
  error: "not a digest",
});
const text = z.string().max(TEXT_MAX);
/** IDs and names become parts of paths, and an archive is untrusted. */
const id = z.string().refine(isId, { error: "not an ID" });

/** How the machine was made, as far as a copy is made likewise. The caps are those of a request. */
const snapshotSpec = z.object({
  mode: bootMode,
  cpus: vmCreate.shape.cpus.unwrap(),
  memory_mib: vmCreate.shape.memory_mib.unwrap(),
  disk_bytes: vmCreate.shape.disk_bytes.unwrap(),
  network: networkMode,
  limits: vmCreate.shape.limits,
  networks: z.array(networkName).max(MACHINE_NETWORKS_MAX).optional(),
  allow: z.array(text).max(1024).optional(),
  ask: z.boolean().optional(),
  /** What the placeholders in its memory are derived from; which secrets it may use is not for an archive to say. */
  lineage: text.optional(),
  env: vmCreate.shape.env.unwrap(),
  command: z.array(z.string()).max(100_000).optional(),
  commandOptions: vmCreate.shape.commandOptions,
  restart: restartPolicy.optional(),
  guest: guestOptions.optional(),
  /** Id of the provisioned layer of the image. */
  provisioned: id.optional(),
});
export type SnapshotSpec = z.infer<typeof snapshotSpec>;

export const snapshotRecord = z.object({
  format: z.literal(RECORD_FORMAT),
  machine: z.object({ id, name: vmName }),
  /** Without an ID, the image is not on this host. */
  image: z.object({
    id: id.or(z.literal("")),
    name: imageName,
    digest: text.optional(),
    /** What its file system is known by, for the memory. */
    rootfs: text.optional(),
  }),
  /** Or the file that came with the image. */
  kernel: kernelName.or(z.templateLiteral(["image:", imageName])),
  spec: snapshotSpec,
  /** Read-only disks between the rootfs and its own. */
  lowers: z.int().min(0).max(16),
  /** Identifies the disk with the kernel's modules; absent if the machine has none. */
  modules: text.optional(),
  /** Absent: the disk alone. */
  memory: z
    .object({
      driver: z.enum(["firecracker", "qemu"]),
      /** What it can be restored by. */
      snapshotKey: text,
      stateDigest: digest,
    })
    .optional(),
  createdAt: z.iso.datetime(),
  /** Id of the API token that made it. */
  token: text.optional(),
  /** Of the machine. */
  labels: vmCreate.shape.labels,
});
export type SnapshotRecord = z.infer<typeof snapshotRecord>;
/** As it is known before the files are there. */
export type SnapshotDescription = Omit<SnapshotRecord, "format" | "createdAt" | "memory"> & {
  memory?: Omit<NonNullable<SnapshotRecord["memory"]>, "stateDigest"> | undefined;
};
