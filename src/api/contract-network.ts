/** The part of the contract that is about how machines are connected. */
import { z } from "zod";
import { policyLog, policyRules, portEnd, portRequest, VM_PORTS_MAX } from "./network.ts";
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
  setPolicy: fails(
    "not_found",
    "invalid_argument",
    "invalid_state",
    "unsupported",
    "unavailable",
    "permission_denied",
  )
    .route({ method: "PUT", path: "/vms/{name}/policy", summary: "What a machine may reach" })
    .input(
      z.object({
        name: vmRef,
        /** null lets it reach everything. */
        allow: policyRules.nullable(),
      }),
    )
    .output(vm),
  changePolicy: fails(
    "not_found",
    "invalid_argument",
    "invalid_state",
    "unsupported",
    "unavailable",
    "permission_denied",
    "limit_exceeded",
  )
    .route({
      method: "POST",
      path: "/vms/{name}/policy/rules",
      summary: "Add rules of a machine's policy, or take some away",
    })
    .input(z.object({ name: vmRef, add: policyRules.optional(), remove: policyRules.optional() }))
    .output(vm),
  policyLog: fails("not_found", "invalid_state")
    .route({
      method: "GET",
      path: "/vms/{name}/policy/log",
      summary: "What a policy has let through and what not",
    })
    .input(z.object({ name: vmRef }))
    .output(policyLog),
};
