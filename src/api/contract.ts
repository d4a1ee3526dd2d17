/**
 * The contract: every procedure with its input, its answer and the errors it is known
 * to give. The daemon implements it, every client is derived from it, and the OpenAPI
 * document is generated from it. It has no behaviour and does no I/O.
 */

import { eventIterator, oc } from "@orpc/contract";
import { z } from "zod";
import { type ErrorCode, errorCodes } from "#base/error.ts";
import { image, imageBootstrap, imagePull, imageRef } from "./image.ts";
import { catalogEntry, kernel, kernelImport, kernelPull, kernelRef } from "./kernel.ts";
import { daemonStatus } from "./system.ts";
import { logChunk, vm, vmCreate, vmExit, vmRef } from "./vm.ts";

/** One report of long work; its numbers grow while `step` stays the same. */
const progress = z.object({
  step: z.string(),
  message: z.string(),
  done: z.number().optional(),
  total: z.number().optional(),
  unit: z.enum(["bytes", "items"]).optional(),
});

const errorData = z.object({ hint: z.string().optional() });

/** Declares errors that a procedure gives besides `internal` and `cancelled`. */
function fails<const C extends ErrorCode>(...codes: C[]) {
  type Entry = { status: number; data: typeof errorData };
  return oc.errors(
    Object.fromEntries(
      codes.map((code) => [code, { status: errorCodes[code].http, data: errorData }]),
    ) as Record<C, Entry>,
  );
}

const nothing = z.object({});
const byName = z.object({ name: vmRef });

export const contract = {
  system: {
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
  },
  kernel: {
    list: oc
      .route({ method: "GET", path: "/kernels", summary: "Kernels that are here" })
      .output(z.array(kernel)),
    available: oc
      .route({ method: "GET", path: "/kernels/catalog", summary: "Kernels that can be pulled" })
      .output(z.array(catalogEntry)),
    show: fails("not_found")
      .route({ method: "GET", path: "/kernels/{name}", summary: "One kernel" })
      .input(z.object({ name: kernelRef }))
      .output(kernel),
    pull: fails("not_found", "unavailable", "integrity", "no_space", "unsupported")
      .route({ method: "POST", path: "/kernels/pull", summary: "Fetch a kernel of the catalog" })
      .input(kernelPull)
      .output(eventIterator(progress, kernel)),
    import: fails("not_found", "already_exists", "invalid_argument", "no_space")
      .route({
        method: "POST",
        path: "/kernels/import",
        summary: "Take in a kernel built elsewhere",
      })
      .input(kernelImport)
      .output(kernel),
    remove: fails("not_found", "invalid_state")
      .route({ method: "DELETE", path: "/kernels/{name}", summary: "Remove a kernel" })
      .input(z.object({ name: kernelRef, force: z.boolean().optional() }))
      .output(nothing),
  },
  image: {
    list: oc
      .route({ method: "GET", path: "/images", summary: "Images that are here" })
      .output(z.array(image)),
    show: fails("not_found")
      .route({ method: "GET", path: "/images/{name}", summary: "One image" })
      .input(z.object({ name: imageRef }))
      .output(image),
    pull: fails(
      "not_found",
      "already_exists",
      "unavailable",
      "unauthorized",
      "integrity",
      "no_space",
    )
      .route({ method: "POST", path: "/images/pull", summary: "Make an image of an OCI image" })
      .input(imagePull)
      .output(eventIterator(progress, image)),
    bootstrap: fails("already_exists", "unavailable", "unsupported", "no_space")
      .route({ method: "POST", path: "/images/bootstrap", summary: "Make an image of packages" })
      .input(imageBootstrap)
      .output(eventIterator(progress, image)),
    remove: fails("not_found", "invalid_state")
      .route({ method: "DELETE", path: "/images/{name}", summary: "Remove an image" })
      .input(z.object({ name: imageRef }))
      .output(nothing),
  },
  vm: {
    list: oc.route({ method: "GET", path: "/vms", summary: "All machines" }).output(z.array(vm)),
    show: fails("not_found")
      .route({ method: "GET", path: "/vms/{name}", summary: "One machine" })
      .input(byName)
      .output(vm),
    create: fails("not_found", "already_exists", "invalid_state", "permission_denied", "guest")
      .route({ method: "POST", path: "/vms", summary: "Make a machine and start it" })
      .input(vmCreate)
      .output(eventIterator(progress, vm)),
    start: fails("not_found", "invalid_state", "permission_denied", "guest", "timeout")
      .route({ method: "POST", path: "/vms/{name}/start", summary: "Start a machine" })
      .input(byName)
      .output(eventIterator(progress, vm)),
    stop: fails("not_found", "invalid_state")
      .route({ method: "POST", path: "/vms/{name}/stop", summary: "Ask, wait, then insist" })
      .input(z.object({ name: vmRef, grace_ms: z.int().min(0).max(3_600_000).optional() }))
      .output(vm),
    restart: fails("not_found", "invalid_state", "guest", "timeout")
      .route({ method: "POST", path: "/vms/{name}/restart", summary: "Stop, then start" })
      .input(z.object({ name: vmRef, grace_ms: z.int().min(0).max(3_600_000).optional() }))
      .output(eventIterator(progress, vm)),
    kill: fails("not_found", "invalid_state")
      .route({ method: "POST", path: "/vms/{name}/kill", summary: "End a machine at once" })
      .input(byName)
      .output(vm),
    remove: fails("not_found", "invalid_state")
      .route({ method: "DELETE", path: "/vms/{name}", summary: "Remove a machine and its disk" })
      .input(z.object({ name: vmRef, force: z.boolean().optional() }))
      .output(nothing),
    wait: fails("not_found")
      .route({ method: "GET", path: "/vms/{name}/wait", summary: "Wait until a machine has ended" })
      .input(byName)
      .output(vmExit),
    logs: fails("not_found")
      .route({ method: "GET", path: "/vms/{name}/logs", summary: "What its console printed" })
      .input(
        z.object({
          name: vmRef,
          follow: z.coerce.boolean().optional(),
          /** The last lines only. */
          tail: z.coerce.number().int().min(0).max(1_000_000).optional(),
        }),
      )
      .output(eventIterator(logChunk)),
    /** What `vm ssh` needs to speak for a machine: its host key and who may log in. */
    sshIdentity: fails("not_found")
      .route({ method: "GET", path: "/vms/{name}/ssh", summary: "The machine's ssh identity" })
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
  },
};
