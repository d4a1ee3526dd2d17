/** Reports of long work, as they come from the daemon: on procedures that stream, and on exec WebSockets. */
import { z } from "zod";
import type { Progress } from "#base/progress.ts";

export const progress = z.object({
  step: z.string(),
  message: z.string(),
  done: z.number().optional(),
  total: z.number().optional(),
  unit: z.enum(["bytes", "items"]).optional(),
  lines: z.array(z.string()).optional(),
} satisfies { [Field in keyof Required<Progress>]: z.ZodType<Progress[Field]> });
