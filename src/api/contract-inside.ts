/** The part of the contract that is about what goes on inside a machine. */
import { z } from "zod";
import { listeningSocket, vmProcess, vmStats } from "./inside.ts";
import { fails, REACHES } from "./procedure.ts";
import { vmRef } from "./vm.ts";

const byName = z.object({ name: vmRef });
const inside = fails(...REACHES, "limit_exceeded");

export const insideContract = {
  ports: inside
    .route({
      method: "GET",
      path: "/vms/{name}/listening",
      summary: "List listening sockets in a machine",
    })
    .input(byName)
    .output(z.array(listeningSocket)),
  stats: inside
    .route({
      method: "GET",
      path: "/vms/{name}/stats",
      summary: "Show resource usage of a machine",
    })
    .input(byName)
    .output(vmStats),
  processes: inside
    .route({ method: "GET", path: "/vms/{name}/processes", summary: "List processes in a machine" })
    .input(byName)
    .output(z.array(vmProcess)),
};
