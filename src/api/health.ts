/** How a machine is, from inside, and what answers in it. */
import { z } from "zod";

/** A service of the guest that is looked for; a machine without it is as good as any. */
export const serviceCheck = z.object({
  name: z.string(),
  /** TCP, on the guest's loopback. */
  port: z.int(),
  answers: z.boolean(),
});
export type ServiceCheck = z.infer<typeof serviceCheck>;

export const vmHealth = z.object({
  name: z.string(),
  uptime_ms: z.int(),
  /** How far the guest's clock is ahead of the host's. */
  clockAhead_ms: z.int(),
  memoryTotal_bytes: z.int(),
  memoryAvailable_bytes: z.int(),
  /** Of the last minute. */
  load: z.number(),
  processes: z.int(),
  /** Those of its image, and those of the configuration that answer. */
  checks: z.array(serviceCheck),
});
export type VmHealth = z.infer<typeof vmHealth>;
