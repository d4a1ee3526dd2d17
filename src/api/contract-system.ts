/** The part of the contract that is about the daemon itself. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { fails, nothing } from "./procedure.ts";
import { daemonStatus, debugBundle, machineEvent, repairStep } from "./system.ts";

export const systemContract = {
  status: fails()
    .route({ method: "GET", path: "/system/status", summary: "Show the daemon's status" })
    .output(daemonStatus),
  shutdown: fails()
    .route({
      method: "POST",
      path: "/system/shutdown",
      summary: "Stop the daemon; machines keep running",
    })
    .output(nothing),
  repair: fails()
    .route({
      method: "POST",
      path: "/system/repair",
      summary: "Reconcile recorded state with the host",
    })
    .input(z.object({ dryRun: z.boolean().optional() }))
    .output(z.array(repairStep)),
  events: fails()
    .route({ method: "GET", path: "/system/events", summary: "Stream machine events" })
    .output(eventIterator(machineEvent)),
  debug: fails()
    .route({
      method: "GET",
      path: "/system/debug",
      summary: "Collect redacted debugging information",
    })
    .output(debugBundle),
};
