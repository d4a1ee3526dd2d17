/** The part of the contract that is about snapshots of machines and copies of them. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { BOOTS, CHANGES, fails, nothing } from "./procedure.ts";
import { progress } from "./progress.ts";
import {
  snapshot,
  snapshotCreate,
  snapshotCreated,
  snapshotExport,
  snapshotExported,
  snapshotImport,
  vmFork,
  vmForked,
} from "./snapshot.ts";
import { snapshotName, vm, vmRef } from "./vm.ts";

const byName = z.object({ name: snapshotName });

export const snapshotContract = {
  list: fails()
    .route({ method: "GET", path: "/snapshots", summary: "List snapshots of machines" })
    .output(z.array(snapshot)),
  show: fails("not_found")
    .route({ method: "GET", path: "/snapshots/{name}", summary: "Show a snapshot" })
    .input(byName)
    .output(snapshot),
  create: fails(...CHANGES, "already_exists", "unsupported", "guest", "timeout", "limit_exceeded")
    .route({
      method: "POST",
      path: "/vms/{name}/snapshots",
      summary: "Save a machine, with its memory if it is running",
    })
    .input(snapshotCreate)
    .output(eventIterator(progress, snapshotCreated)),
  remove: fails("not_found")
    .route({ method: "DELETE", path: "/snapshots/{name}", summary: "Remove a snapshot" })
    .input(byName)
    .output(nothing),
  export: fails("not_found", "already_exists")
    .route({
      method: "POST",
      path: "/snapshots/{name}/export",
      summary: "Write a snapshot to an archive",
    })
    .input(snapshotExport)
    .output(eventIterator(progress, snapshotExported)),
  import: fails("not_found", "already_exists", "unsupported")
    .route({
      method: "POST",
      path: "/snapshots/import",
      summary: "Read a snapshot from an archive",
    })
    .input(snapshotImport)
    .output(eventIterator(progress, snapshot)),
};

export const vmSnapshotContract = {
  restore: fails(...CHANGES, ...BOOTS)
    .route({
      method: "POST",
      path: "/vms/{name}/restore",
      summary: "Restore a machine to one of its snapshots",
    })
    .input(z.object({ name: vmRef, snapshot: snapshotName }))
    .output(eventIterator(progress, vm)),
  fork: fails(...CHANGES, ...BOOTS, "already_exists")
    .route({
      method: "POST",
      path: "/vms/{name}/fork",
      summary: "Create running copies of a running machine",
    })
    .input(vmFork)
    .output(eventIterator(progress, vmForked)),
};
