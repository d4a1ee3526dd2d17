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

/** What the command of the image's HEALTHCHECK says. */
export const imageHealth = z.object({
  command: z.array(z.string()),
  /** It ended with status 0, in time. */
  isHealthy: z.boolean(),
  /** The end of what it printed, or why it did not end. */
  output: z.string(),
});
export type ImageHealth = z.infer<typeof imageHealth>;

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
  /** Of an image that has one. */
  healthcheck: imageHealth.optional(),
});
export type VmHealth = z.infer<typeof vmHealth>;
