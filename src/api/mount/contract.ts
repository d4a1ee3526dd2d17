/** The part of the contract that is about volumes. */
import { z } from "zod";
import { CHANGES, fails, nothing } from "#api/procedure.ts";
import { vm, vmRef } from "#api/vm.ts";
import { volume, volumeCreate, volumeMount, volumeName, volumeSize } from "./mount.ts";

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
  resize: fails("not_found", "conflict", "limit_exceeded", "unsupported", "guest", "timeout")
    .route({
      method: "POST",
      path: "/volumes/{name}/resize",
      summary: "Grow a volume and its file system",
    })
    .input(byName.extend({ size_bytes: volumeSize }))
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

export const vmVolumeContract = {
  attachVolume: fails(...CHANGES, "already_exists", "limit_exceeded", "unsupported")
    .route({
      method: "POST",
      path: "/vms/{name}/volumes",
      summary: "Mount a volume in a stopped machine, from its next start on",
    })
    .input(volumeMount.extend({ name: vmRef }))
    .output(vm),
  detachVolume: fails(...CHANGES)
    .route({
      method: "DELETE",
      path: "/vms/{name}/volumes/{volume}",
      summary: "Remove the mount of a volume from a stopped machine",
    })
    .input(z.object({ name: vmRef, volume: volumeName }))
    .output(vm),
};
