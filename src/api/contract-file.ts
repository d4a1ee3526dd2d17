/** The part of the contract that is about the files of a machine. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { queryFlag } from "./fields.ts";
import {
  directoryEntry,
  fileChange,
  fileCopied,
  fileCopyIn,
  fileCopyOut,
  fileInfo,
  fileMkdir,
  fileRead,
  fileRef,
  fileRemove,
  fileWrite,
} from "./file.ts";
import { fails, nothing, REACHES } from "./procedure.ts";
import { progress } from "./progress.ts";

const failures = [...REACHES, "limit_exceeded", "already_exists"] as const;
const file = fails(...failures);

export const fileContract = {
  stat: file
    .route({ method: "GET", path: "/vms/{name}/files/stat", summary: "One file of a machine" })
    .input(fileRef)
    .output(fileInfo),
  list: file
    .route({ method: "GET", path: "/vms/{name}/files", summary: "A folder of a machine" })
    .input(fileRef)
    .output(z.array(directoryEntry)),
  read: file
    .route({ method: "GET", path: "/vms/{name}/files/data", summary: "A file, or a piece of it" })
    .input(fileRead)
    .output(z.object({ data: z.base64() })),
  write: file
    .route({ method: "PUT", path: "/vms/{name}/files/data", summary: "Write a file" })
    .input(fileWrite)
    .output(nothing),
  mkdir: file
    .route({ method: "POST", path: "/vms/{name}/files/mkdir", summary: "Make a folder" })
    .input(fileMkdir)
    .output(nothing),
  remove: file
    .route({ method: "DELETE", path: "/vms/{name}/files", summary: "Remove a file or folder" })
    .input(fileRemove)
    .output(nothing),
  copyIn: fails(...failures)
    .route({
      method: "POST",
      path: "/vms/{name}/files/copy-in",
      summary: "Copy into a machine what the host has",
    })
    .input(fileCopyIn)
    .output(eventIterator(progress, fileCopied)),
  copyOut: fails(...failures)
    .route({
      method: "POST",
      path: "/vms/{name}/files/copy-out",
      summary: "Copy to the host what a machine has",
    })
    .input(fileCopyOut)
    .output(eventIterator(progress, fileCopied)),
  watch: file
    .route({ method: "GET", path: "/vms/{name}/files/watch", summary: "What changes below a path" })
    .input(fileRef.extend({ recursive: queryFlag.optional() }))
    .output(eventIterator(fileChange)),
};
