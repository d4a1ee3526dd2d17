/** The JSON of a machine's record: what it was created with, and what it holds while it runs. */
import { z } from "zod";
import { serviceCheck } from "#api/health.ts";
import { guestOptions, share, volumeMount } from "#api/mount/mount.ts";
import { machineSecret } from "#api/secrets/secret.ts";
import { sshAgent } from "#api/secrets/ssh-agent.ts";
import {
  bootMode,
  monitor,
  networkMode,
  pendingSetting,
  restartPolicy,
  vmCreate,
  vmExit,
  vmLimits,
  vmName,
  vmState,
} from "#api/vm.ts";
import { type Address, tryParseAddress } from "#net/address.ts";
import type { Bandwidth } from "#net/bandwidth/bandwidth.ts";
import { jsonColumn, stored } from "#store/row.ts";
import { owner } from "#vm/life/owner.ts";
import { type DiskLimits, machineHandle } from "#vmm/driver.ts";

const address = z.custom<Address>(
  (value) => typeof value === "string" && tryParseAddress(value) === value,
  { error: "not an IP address" },
);
const port = z.int().min(0).max(65_535);
const strings = z.array(z.string()).readonly();

/** What a machine only gets when it starts. */
const startedWith = stored({
  name: z.string(),
  cpus: z.int(),
  memory_mib: z.int(),
  disk_bytes: z.int(),
  env: z.record(z.string(), z.string()),
  hostname: z.string().optional(),
});
export type StartedWith = z.infer<typeof startedWith>;

/** What was requested when the machine was created, with every default filled in. */
const vmSpec = stored({
  mode: bootMode,
  cpus: z.int(),
  memory_mib: z.int(),
  disk_bytes: z.int(),
  /** 0 is kept, since memory on disk may have another. */
  limits: vmLimits.optional(),
  network: networkMode,
  /** For the modes that use the pool; the machine's own for life. */
  address: z.string().optional(),
  mac: z.string(),
  /** Absent: as the configuration says. */
  monitor: monitor.optional(),
  /** Absent: none. */
  ports: z
    .array(
      z.object({
        hostAddress: address,
        hostPort: port,
        guestPort: port,
        protocol: z.enum(["tcp", "udp"]),
      }),
    )
    .readonly()
    .optional(),
  /** Rules as the user wrote them; absent: no policy. */
  allow: strings.optional(),
  /** What no rule matches is asked about. */
  ask: z.boolean().optional(),
  /** What its secrets' placeholders and its certificate authority are derived from: the same for copies. */
  lineage: z.string().optional(),
  /** Without their values. */
  secrets: z.array(machineSecret).readonly().optional(),
  sshAgent: sshAgent.optional(),
  /** Named networks that it is on; absent: none. */
  networks: strings.optional(),
  /** Absent: none. */
  volumes: z.array(volumeMount).readonly().optional(),
  shares: z.array(share).readonly().optional(),
  guest: guestOptions.optional(),
  machineId: z.string(),
  env: z.record(z.string(), z.string()),
  /** Absent: the machine's name. */
  hostname: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  /** Changed since it was started. */
  pending: z.array(pendingSetting).readonly().optional(),
  /** What it was started with, where something was changed since then. */
  started: startedWith.optional(),
  /** Id of the provisioned layer of its image that is under its disk, for life. */
  provisioned: z.string().optional(),
  /** Snapshot that it was created from, by the name that this had. */
  snapshot: z.string().optional(),
  /** Machine that it was a running copy of, by the name that this had. */
  forkOf: z.string().optional(),
  /** Lives as long as the command it was created for, and is removed with it. */
  ephemeral: z.boolean().optional(),
  /** Commands of an image build run in it: it gets no key, since its files become an image. */
  isBuild: z.boolean().optional(),
  /** In direct mode: what it runs for as long as it lives. */
  command: strings.optional(),
  commandOptions: vmCreate.shape.commandOptions,
  /** It is removed, running or not, this long after it was created. */
  ttl_ms: z.number().optional(),
  /** It is stopped when it has been idle for this long. */
  idleStop_ms: z.number().optional(),
  /** It is suspended when it has been idle for this long. */
  idleSuspend_ms: z.number().optional(),
  /** Absent: no. */
  restart: restartPolicy.optional(),
});
export type VmSpec = z.infer<typeof vmSpec>;

/** As the VMM has them; undefined where none was ever set. */
export function diskLimits({ limits }: Pick<VmSpec, "limits">): DiskLimits | undefined {
  if (!limits) return undefined;
  const { disk_bytes_per_s: bytes_per_s, disk_operations_per_s: operations_per_s } = limits;
  return { bytes_per_s, operations_per_s };
}

/** As its tap has them; 0 for none. */
export function bandwidthOf({ limits = {} }: Pick<VmSpec, "limits">): Bandwidth {
  const { net_in_bytes_per_s = 0, net_out_bytes_per_s = 0 } = limits;
  return { in_bytes_per_s: net_in_bytes_per_s, out_bytes_per_s: net_out_bytes_per_s };
}

/** What a started machine holds outside the store. */
const vmRuntime = stored({
  /** Kernel's boot id: after a reboot of the host none of this exists any more. */
  hostBootId: z.string(),
  /** Directory of its control group. */
  cgroup: z.string().optional(),
  /** Absent until the VMM runs. */
  handle: machineHandle.optional(),
  /** Its address, where that is not the one of its spec: a tap comes with its own. */
  address: z.string().optional(),
  address6: z.string().optional(),
  /** Its address is in a network namespace: this process cannot connect to it. */
  isNamespaced: z.boolean().optional(),
  /** Key of the template that it was restored from. */
  template: z.string().optional(),
  /** From memory: what ran in it runs on. */
  isRestored: z.boolean().optional(),
  /** Services that were looked for in it, as they were last. */
  checks: z.array(serviceCheck).optional(),
});
export type VmRuntime = z.infer<typeof vmRuntime>;

/** What is wanted of a machine, whatever it does now; see the schema. */
const vmIntent = z.enum(["create", "run"]);
export type VmIntent = z.infer<typeof vmIntent>;

/** A row of `vms`, with its image's name. */
export const vmRow = z.object({
  id: z.string(),
  name: vmName,
  state: vmState,
  image_id: z.string(),
  image: z.string(),
  kernel: z.string(),
  spec: jsonColumn(vmSpec),
  runtime: jsonColumn(vmRuntime).nullable(),
  exit: jsonColumn(vmExit).nullable(),
  warning: z.string().nullable(),
  intent: vmIntent.nullable(),
  owner: jsonColumn(owner).nullable(),
  token: z.string().nullable(),
  created_at: z.iso.datetime(),
  started_at: z.iso.datetime().nullable(),
});
export type VmRow = z.infer<typeof vmRow>;
