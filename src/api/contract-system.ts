/** The part of the contract that is about the daemon itself. */
import { eventIterator, oc } from "@orpc/contract";
import { z } from "zod";
import { nothing } from "./procedure.ts";
import { daemonStatus, debugBundle, machineEvent, repairStep } from "./system.ts";

export const systemContract = {
  status: oc
    .route({ method: "GET", path: "/system/status", summary: "What the daemon is and does" })
    .output(daemonStatus),
  shutdown: oc
    .route({
      method: "POST",
      path: "/system/shutdown",
      summary: "End the daemon; machines run on",
    })
    .output(nothing),
  repair: oc
    .route({ method: "POST", path: "/system/repair", summary: "Make records and host agree" })
    .input(z.object({ dryRun: z.boolean().optional() }))
    .output(z.array(repairStep)),
  events: oc
    .route({ method: "GET", path: "/system/events", summary: "What happens to machines" })
    .output(eventIterator(machineEvent)),
  debug: oc
    .route({ method: "GET", path: "/system/debug", summary: "What a bug report needs, redacted" })
    .output(debugBundle),
};
