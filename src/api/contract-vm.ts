/** The part of the contract that is about machines. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { queryFlag, queryInteger } from "./fields.ts";
import { vmHealth } from "./health.ts";
import { BOOTS, CHANGES, DOWNLOADS, fails, nothing, REACHES } from "./procedure.ts";
import { progress } from "./progress.ts";
import { logChunk, vm, vmCreate, vmExit, vmName, vmRef, vmSettings } from "./vm.ts";

const byName = z.object({ name: vmRef });

export const vmContract = {
  list: fails()
    .route({ method: "GET", path: "/vms", summary: "List machines" })
    .output(z.array(vm)),
  show: fails("not_found")
    .route({ method: "GET", path: "/vms/{name}", summary: "Show a machine" })
    .input(byName)
    .output(vm),
  health: fails(...REACHES)
    .route({
      method: "GET",
      path: "/vms/{name}/health",
      summary: "Check a running machine's health",
    })
    .input(byName)
    .output(vmHealth),
  create: fails(...CHANGES, ...BOOTS, ...DOWNLOADS)
    .route({ method: "POST", path: "/vms", summary: "Create a machine and start it" })
    .input(vmCreate)
    .output(eventIterator(progress, vm)),
  set: fails(...CHANGES, "limit_exceeded")
    .route({ method: "PATCH", path: "/vms/{name}", summary: "Change settings of a machine" })
    .input(vmSettings.extend({ name: vmRef }))
    .output(vm),
  rename: fails(...CHANGES, "already_exists")
    .route({ method: "POST", path: "/vms/{name}/rename", summary: "Rename a machine" })
    .input(z.object({ name: vmRef, to: vmName }))
    .output(vm),
  clone: fails(...CHANGES, "already_exists", "limit_exceeded")
    .route({
      method: "POST",
      path: "/vms/{name}/clone",
      summary: "Copy a stopped machine, including its disk",
    })
    .input(z.object({ name: vmRef, to: vmName.optional() }))
    .output(eventIterator(progress, vm)),
  start: fails(...CHANGES, ...BOOTS)
    .route({ method: "POST", path: "/vms/{name}/start", summary: "Start a machine" })
    .input(byName)
    .output(eventIterator(progress, vm)),
  stop: fails(...CHANGES, "timeout")
    .route({
      method: "POST",
      path: "/vms/{name}/stop",
      summary: "Shut down a machine; power off after the grace period",
    })
    .input(z.object({ name: vmRef, grace_ms: z.int().min(0).max(3_600_000).optional() }))
    .output(vm),
  restart: fails(...CHANGES, ...BOOTS)
    .route({ method: "POST", path: "/vms/{name}/restart", summary: "Restart a machine" })
    .input(z.object({ name: vmRef, grace_ms: z.int().min(0).max(3_600_000).optional() }))
    .output(eventIterator(progress, vm)),
  pause: fails(...CHANGES, "unsupported")
    .route({ method: "POST", path: "/vms/{name}/pause", summary: "Pause a machine" })
    .input(byName)
    .output(vm),
  resume: fails(...CHANGES, ...BOOTS)
    .route({
      method: "POST",
      path: "/vms/{name}/resume",
      summary: "Resume a paused or suspended machine",
    })
    .input(byName)
    .output(eventIterator(progress, vm)),
  suspend: fails(...CHANGES, "unsupported", "timeout")
    .route({
      method: "POST",
      path: "/vms/{name}/suspend",
      summary: "Suspend a machine to disk, until it is used again",
    })
    .input(byName)
    .output(eventIterator(progress, vm)),
  kill: fails(...CHANGES, "timeout")
    .route({ method: "POST", path: "/vms/{name}/kill", summary: "Power off a machine immediately" })
    .input(byName)
    .output(vm),
  remove: fails(...CHANGES, "timeout")
    .route({ method: "DELETE", path: "/vms/{name}", summary: "Remove a machine and its disk" })
    .input(z.object({ name: vmRef, force: z.boolean().optional() }))
    .output(nothing),
  prune: fails("conflict")
    .route({ method: "POST", path: "/vms/prune", summary: "Remove all stopped machines" })
    .output(z.array(z.string())),
  wait: fails("not_found")
    .route({ method: "GET", path: "/vms/{name}/wait", summary: "Wait for a machine to stop" })
    .input(byName)
    .output(vmExit),
  logs: fails("not_found")
    .route({
      method: "GET",
      path: "/vms/{name}/logs",
      summary: "Read the output of a machine's command or its console",
    })
    .input(
      z.object({
        name: vmRef,
        follow: queryFlag.optional(),
        /** The last lines only. */
        tail: queryInteger(0, 1_000_000).optional(),
        /** The kernel's console, also of a machine that has a command. */
        console: queryFlag.optional(),
      }),
    )
    .output(eventIterator(logChunk)),
  /** What `vm ssh` needs to speak for a machine: its host key and who may log in. */
  sshIdentity: fails("not_found")
    .route({ method: "GET", path: "/vms/{name}/ssh", summary: "Show the machine's ssh identity" })
    .input(byName)
    .output(
      z.object({
        name: z.string(),
        /** Private host key, OpenSSH format. */
        hostKey: z.string(),
        /** Public keys that may log in, one authorized_keys line each. */
        authorizedKeys: z.array(z.string()),
      }),
    ),
};
