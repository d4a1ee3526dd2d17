/** What goes on inside a machine, and what it costs the host. */
import { z } from "zod";

export const listeningSocket = z.object({
  protocol: z.enum(["tcp", "udp"]),
  /** Of the guest; "0.0.0.0" and "::" are all of its addresses. */
  address: z.string(),
  port: z.int(),
  uid: z.number(),
  process: z.object({ pid: z.number(), name: z.string() }).optional(),
});
export type ListeningSocket = z.infer<typeof listeningSocket>;

const traffic = z.object({
  name: z.string(),
  /** From the disk, or from the network; `readCount` in operations or packets. */
  read_bytes: z.number(),
  readCount: z.number(),
  write_bytes: z.number(),
  writeCount: z.number(),
  /** Packets that were dropped or broken; 0 for a disk. */
  readLost: z.number(),
  writeLost: z.number(),
});
export type Traffic = z.infer<typeof traffic>;

const queue = z.object({
  bytes: z.number(),
  packets: z.number(),
  /** How often something had to wait. */
  throttled: z.number(),
  /** Packets that found no room in the queue. */
  dropped: z.number(),
});

/** Counters count since the machine's boot: a rate is the difference of two, by `uptime_ms`. */
export const vmStats = z.object({
  name: z.string(),
  uptime_ms: z.number(),
  /** Of the last minute, times 1000. */
  load_milli: z.number(),
  processes: z.number(),
  /** Of all CPUs together. */
  cpu: z.object({
    count: z.number(),
    user_ms: z.number(),
    system_ms: z.number(),
    idle_ms: z.number(),
    iowait_ms: z.number(),
    steal_ms: z.number(),
  }),
  memory: z.object({
    total_bytes: z.number(),
    available_bytes: z.number(),
    free_bytes: z.number(),
    cached_bytes: z.number(),
    swapTotal_bytes: z.number(),
    swapFree_bytes: z.number(),
  }),
  /** Of the file system that the machine writes to. */
  space: z.object({
    total_bytes: z.number(),
    used_bytes: z.number(),
    available_bytes: z.number(),
  }),
  disks: z.array(traffic),
  interfaces: z.array(traffic),
  /** What the monitor takes of the host. */
  host: z.object({
    cpu_ms: z.number(),
    resident_bytes: z.number(),
    /** That the writable layer takes on disk. */
    disk_bytes: z.number(),
    /** What its bandwidth limits have let through since they were set, and held back; absent without limits. */
    bandwidth: z.object({ in: queue.optional(), out: queue.optional() }).optional(),
  }),
});
export type VmStats = z.infer<typeof vmStats>;

export const vmProcess = z.object({
  pid: z.number(),
  parent: z.number(),
  uid: z.number(),
  /** As /proc has it: "R" runs, "S" sleeps, "D" waits for a disk, "Z" has ended. */
  state: z.string(),
  /** Since it began. */
  cpu_ms: z.number(),
  resident_bytes: z.number(),
  /** When it began, since the machine's boot. */
  started_uptime_ms: z.number(),
  name: z.string(),
  command: z.string(),
});
export type VmProcess = z.infer<typeof vmProcess>;
