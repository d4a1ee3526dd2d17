/** The part of the contract that is about how machines are connected. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import {
  decision,
  keptAnswer,
  namedNetwork,
  networkName,
  policyAnswer,
  policyLog,
  policyProfile,
  policyQuestion,
  policyRules,
  portEnd,
  portRequest,
  VM_PORTS_MAX,
} from "./network.ts";
import { CHANGES, fails, nothing } from "./procedure.ts";
import { vm, vmRef } from "./vm.ts";

const byName = z.object({ name: networkName });
const ofMachine = byName.extend({ vm: vmRef });

export const networkContract = {
  list: fails()
    .route({ method: "GET", path: "/networks", summary: "List named networks" })
    .output(z.array(namedNetwork)),
  create: fails("already_exists")
    .route({ method: "POST", path: "/networks", summary: "Create a named network" })
    .input(byName)
    .output(namedNetwork),
  show: fails("not_found")
    .route({ method: "GET", path: "/networks/{name}", summary: "Show a named network" })
    .input(byName)
    .output(namedNetwork),
  remove: fails("not_found", "invalid_state")
    .route({ method: "DELETE", path: "/networks/{name}", summary: "Remove a named network" })
    .input(byName)
    .output(nothing),
  connect: fails(...CHANGES, "unsupported", "limit_exceeded")
    .route({
      method: "PUT",
      path: "/networks/{name}/machines/{vm}",
      summary: "Connect a machine to a named network",
    })
    .input(ofMachine)
    .output(vm),
  disconnect: fails(...CHANGES)
    .route({
      method: "DELETE",
      path: "/networks/{name}/machines/{vm}",
      summary: "Disconnect a machine from a named network",
    })
    .input(ofMachine)
    .output(vm),
};

/** What of a machine's network can be changed while it runs. */
export const vmNetworkContract = {
  publish: fails(...CHANGES, "unsupported", "limit_exceeded")
    .route({ method: "POST", path: "/vms/{name}/ports", summary: "Publish ports of a machine" })
    .input(z.object({ name: vmRef, ports: z.array(portRequest).max(VM_PORTS_MAX) }))
    .output(vm),
  unpublish: fails(...CHANGES)
    .route({
      method: "POST",
      path: "/vms/{name}/ports/close",
      summary: "Unpublish ports of a machine",
    })
    .input(z.object({ name: vmRef, ports: z.array(portEnd).max(VM_PORTS_MAX) }))
    .output(vm),
  setPolicy: fails(...CHANGES, "unsupported", "limit_exceeded")
    .route({
      method: "PUT",
      path: "/vms/{name}/policy",
      summary: "Manage the egress policy of a machine",
    })
    .input(
      z.object({
        name: vmRef,
        /** null lets it reach everything. */
        allow: policyRules.nullable(),
        ask: z.boolean().optional(),
      }),
    )
    .output(vm),
  changePolicy: fails(...CHANGES, "unsupported", "limit_exceeded")
    .route({
      method: "POST",
      path: "/vms/{name}/policy/rules",
      summary: "Add or remove rules of a machine's egress policy",
    })
    .input(
      z.object({
        name: vmRef,
        /** At the end; a "deny" rule in front of all others. Each replaces its opposite. */
        add: policyRules.optional(),
        remove: policyRules.optional(),
        ask: z.boolean().optional(),
      }),
    )
    .output(vm),
  policyLog: fails(...CHANGES)
    .route({
      method: "GET",
      path: "/vms/{name}/policy/log",
      summary: "Show connections that the policy allowed and denied",
    })
    .input(z.object({ name: vmRef }))
    .output(policyLog),
  policyEvents: fails(...CHANGES)
    .route({
      method: "GET",
      path: "/vms/{name}/policy/events",
      summary: "Stream decisions about a machine's names and connections",
    })
    .input(z.object({ name: vmRef }))
    .output(eventIterator(decision)),
};

export const policyContract = {
  profiles: fails()
    .route({ method: "GET", path: "/policy/profiles", summary: "List policy profiles" })
    .output(z.array(policyProfile)),
  questions: fails()
    .route({
      method: "GET",
      path: "/policy/questions",
      summary: "List destinations that machines wait for",
    })
    .output(z.array(policyQuestion)),
  watch: fails()
    .route({
      method: "GET",
      path: "/policy/questions/watch",
      summary: "Stream the list of destinations that machines wait for, whenever it changes",
    })
    .output(eventIterator(z.array(policyQuestion))),
  answer: fails(...CHANGES, "unsupported", "limit_exceeded")
    .route({
      method: "POST",
      path: "/policy/questions/{id}",
      summary: "Allow or deny a destination that a machine waits for",
    })
    .input(policyAnswer)
    .output(nothing),
  answers: fails()
    .route({ method: "GET", path: "/policy/answers", summary: "List answers kept for good" })
    .output(z.array(keptAnswer)),
  forget: fails("not_found")
    .route({ method: "POST", path: "/policy/answers/forget", summary: "Forget a kept answer" })
    .input(keptAnswer.pick({ rule: true }))
    .output(nothing),
};
