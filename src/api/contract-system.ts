/** The part of the contract that is about the daemon itself. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { fails, nothing } from "./procedure.ts";
import { daemonStatus, debugBundle, machineEvent, repairStep } from "./system.ts";

export const systemContract = {
  status: fails()
    .route({ method: "GET", path: "/system/status", summary: "What the daemon is and does" })
    .output(daemonStatus),
  shutdown: fails()
    .route({
      method: "POST",
      path: "/system/shutdown",
      summary: "End the daemon; machines run on",
    })
    .output(nothing),
  repair: fails()
    .route({ method: "POST", path: "/system/repair", summary: "Make records and host agree" })
    .input(z.object({ dryRun: z.boolean().optional() }))
    .output(z.array(repairStep)),
  events: fails()
    .route({ method: "GET", path: "/system/events", summary: "What happens to machines" })
    .output(eventIterator(machineEvent)),
  debug: fails()
    .route({ method: "GET", path: "/system/debug", summary: "What a bug report needs, redacted" })
    .output(debugBundle),
};
