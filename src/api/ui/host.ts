/** What `banger doctor`, `banger config show` and `banger daemon logs` print. */
import { z } from "zod";

export const hostCheck = z.object({
  title: z.string(),
  status: z.enum(["ok", "warn", "fail"]),
  detail: z.string(),
  /** The command that fixes it. */
  fix: z.string().optional(),
});

export const setting = z.object({
  key: z.string(),
  /** As text. */
  value: z.string(),
  /** Such as "default", or a file and its line. */
  origin: z.string(),
});

export const logLines = z.object({ lines: z.array(z.string()) });
