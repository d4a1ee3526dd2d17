/** What the process that serves shared directories is given. */
import { z } from "zod";

export const shareConfig = z.object({
  shares: z.array(
    z.object({
      directory: z.string(),
      isReadOnly: z.boolean(),
      /** Where it is served. */
      socket: z.string(),
      /** Written when it is over, with the reason. */
      failure: z.string(),
    }),
  ),
  /** Of the VMM. */
  machine: z.object({ pid: z.int(), startTime_ticks: z.int() }),
});
export type ShareConfig = z.infer<typeof shareConfig>;
