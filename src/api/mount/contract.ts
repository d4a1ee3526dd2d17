/** The part of the contract that is about volumes. */
import { z } from "zod";
import { fails, nothing } from "#api/procedure.ts";
import { volume, volumeCreate, volumeName } from "./mount.ts";

const byName = z.object({ name: volumeName });

export const volumeContract = {
  list: fails()
    .route({ method: "GET", path: "/volumes", summary: "List volumes" })
    .output(z.array(volume)),
  create: fails("already_exists", "limit_exceeded", "unsupported")
    .route({ method: "POST", path: "/volumes", summary: "Create a volume" })
    .input(volumeCreate)
    .output(volume),
  show: fails("not_found")
    .route({ method: "GET", path: "/volumes/{name}", summary: "Show a volume" })
    .input(byName)
    .output(volume),
  remove: fails("not_found", "invalid_state")
    .route({ method: "DELETE", path: "/volumes/{name}", summary: "Remove a volume and its data" })
    .input(byName)
    .output(nothing),
  prune: fails()
    .route({
      method: "POST",
      path: "/volumes/prune",
      summary: "Remove all volumes that no machine mounts",
    })
    .output(z.array(z.string())),
};
