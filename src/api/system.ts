/** The daemon itself. */
import { z } from "zod";

export const version = z.object({
  version: z.string(),
  commit: z.string(),
  builtAt: z.string(),
});
export type Version = z.infer<typeof version>;

export const daemonStatus = z.object({
  ...version.shape,
  pid: z.int(),
  startedAt: z.iso.datetime(),
  stateDir: z.string(),
  machinesRunning: z.int(),
  rss_bytes: z.int(),
});
export type DaemonStatus = z.infer<typeof daemonStatus>;
