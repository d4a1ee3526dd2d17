/** What machines cost the host over time. Measured outside of them: no guest is asked, and none is kept awake. */
import { z } from "zod";

export const usageSample = z.object({
  /** Milliseconds since the epoch. */
  at_ms: z.number(),
  /** Of one CPU, since the sample before: 2 means that two are busy. */
  cpu: z.number(),
  resident_bytes: z.number(),
  /** That the writable layer takes. */
  disk_bytes: z.number(),
  /** Per second, since the sample before, as far as the kernel tells. */
  read_bytes: z.number(),
  write_bytes: z.number(),
  receive_bytes: z.number(),
  send_bytes: z.number(),
});
export type UsageSample = z.infer<typeof usageSample>;

/** The first has what was recorded of the last hour; each one after it has the newest sample of each machine. */
export const usageReport = z.object({
  machines: z.array(z.object({ id: z.string(), samples: z.array(usageSample) })),
});
export type UsageReport = z.infer<typeof usageReport>;
