/** The part of the contract that is about how machines are connected. */
import { z } from "zod";
import { portEnd, portRequest, VM_PORTS_MAX } from "./network.ts";
import { fails } from "./procedure.ts";
import { vm, vmRef } from "./vm.ts";

/** What of a machine's network can be changed while it runs. */
export const vmNetworkContract = {
  publish: fails("not_found", "conflict", "invalid_argument", "permission_denied", "limit_exceeded")
    .route({ method: "POST", path: "/vms/{name}/ports", summary: "Publish ports of a machine" })
    .input(z.object({ name: vmRef, ports: z.array(portRequest).max(VM_PORTS_MAX) }))
    .output(vm),
  unpublish: fails("not_found")
    .route({
      method: "POST",
      path: "/vms/{name}/ports/close",
      summary: "Publish ports no longer",
    })
    .input(z.object({ name: vmRef, ports: z.array(portEnd).max(VM_PORTS_MAX) }))
    .output(vm),
};
