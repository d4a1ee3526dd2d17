/** The part of the contract that is about the web UI, and what only that needs. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { fails, nothing } from "#api/procedure.ts";
import { hostCheck, logLines, setting } from "./host.ts";
import { usageReport } from "./usage.ts";

export const uiContract = {
  /** A login for one browser, at a loopback address that is served from then on. */
  open: fails("conflict", "not_found", "limit_exceeded")
    .route({ method: "POST", path: "/ui", summary: "Log a browser in to the web UI" })
    .input(z.object({ port: z.int().min(1).max(65_535).optional() }))
    .output(
      z.object({
        /** Such as "http://127.0.0.1:7777". */
        url: z.string(),
        /** Valid once, and for a few minutes. */
        code: z.string(),
      }),
    ),
  close: fails()
    .route({ method: "DELETE", path: "/ui", summary: "Log out all browsers of the web UI" })
    .output(nothing),
};

export const hostContract = {
  usage: fails()
    .route({ method: "GET", path: "/system/usage", summary: "Stream resource usage of machines" })
    .output(eventIterator(usageReport)),
  doctor: fails()
    .route({ method: "GET", path: "/system/doctor", summary: "Check the host" })
    .output(z.array(hostCheck)),
  config: fails()
    .route({ method: "GET", path: "/system/config", summary: "Show the configuration" })
    .output(z.array(setting)),
  logs: fails()
    .route({ method: "GET", path: "/system/logs", summary: "Show the end of the daemon's log" })
    .output(logLines),
};
