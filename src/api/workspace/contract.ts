/** The part of the contract that is about projects in machines. The daemon runs the commands of `vm workspace` for it. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { fails, REACHES } from "#api/procedure.ts";
import { progress } from "#api/progress.ts";
import { vmRef } from "#api/vm.ts";
import {
  workspace,
  workspaceCheckpoint,
  workspaceCheckpointMake,
  workspaceDiff,
  workspaceExport,
  workspaceImport,
  workspaceImported,
  workspacePatch,
  workspacePiece,
  workspaceRef,
  workspaceRestore,
  workspaceRestored,
  workspaceStatus,
} from "./workspace.ts";

/** Of a workspace, besides those of its machine. */
const works = fails(...REACHES, "already_exists");

export const workspaceContract = {
  list: works
    .route({ method: "GET", path: "/vms/{name}/workspaces", summary: "List imported workspaces" })
    .input(z.object({ name: vmRef }))
    .output(z.array(workspace)),
  import: works
    .route({
      method: "POST",
      path: "/vms/{name}/workspaces",
      summary: "Import a repository or directory of the host into a machine",
    })
    .input(workspaceImport)
    .output(eventIterator(progress, workspaceImported)),
  status: works
    .route({
      method: "GET",
      path: "/vms/{name}/workspace/status",
      summary: "Show what has changed in a workspace",
    })
    .input(workspaceRef)
    .output(workspaceStatus),
  diff: works
    .route({
      method: "GET",
      path: "/vms/{name}/workspace/diff",
      summary: "Show the changes in a workspace as patches",
    })
    .input(workspaceDiff)
    .output(z.array(workspacePatch)),
  export: works
    .route({
      method: "GET",
      path: "/vms/{name}/workspace/export",
      summary: "Stream a workspace as a patch, tar archive or git bundle",
    })
    .input(workspaceExport)
    .output(eventIterator(workspacePiece)),
  checkpoints: works
    .route({
      method: "GET",
      path: "/vms/{name}/workspace/checkpoints",
      summary: "List the checkpoints of a workspace",
    })
    .input(workspaceRef)
    .output(z.array(workspaceCheckpoint)),
  checkpoint: works
    .route({
      method: "POST",
      path: "/vms/{name}/workspace/checkpoints",
      summary: "Save the working tree of a workspace in the machine",
    })
    .input(workspaceCheckpointMake)
    .output(z.object({ number: z.int() })),
  restore: works
    .route({
      method: "POST",
      path: "/vms/{name}/workspace/restore",
      summary: "Set the working tree of a workspace back to a checkpoint",
    })
    .input(workspaceRestore)
    .output(z.array(workspaceRestored)),
};

/** Whether an error is among those that the procedures declare. */
export function declaresWorkspaceError(code: string): boolean {
  return code === "cancelled" || Object.hasOwn(works["~orpc"].errorMap, code);
}
