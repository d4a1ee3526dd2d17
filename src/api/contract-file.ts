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
    .route({ method: "GET", path: "/vms/{name}/files/stat", summary: "Show a file in a machine" })
    .input(fileRef)
    .output(fileInfo),
  list: file
    .route({ method: "GET", path: "/vms/{name}/files", summary: "List a directory in a machine" })
    .input(fileRef)
    .output(z.array(directoryEntry)),
  read: file
    .route({ method: "GET", path: "/vms/{name}/files/data", summary: "Read a file, or part of it" })
    .input(fileRead)
    .output(z.object({ data: z.base64() })),
  write: file
    .route({ method: "PUT", path: "/vms/{name}/files/data", summary: "Write a file" })
    .input(fileWrite)
    .output(nothing),
  mkdir: file
    .route({ method: "POST", path: "/vms/{name}/files/mkdir", summary: "Create a directory" })
    .input(fileMkdir)
    .output(nothing),
  remove: file
    .route({ method: "DELETE", path: "/vms/{name}/files", summary: "Remove a file or directory" })
    .input(fileRemove)
    .output(nothing),
  copyIn: fails(...failures)
    .route({
      method: "POST",
      path: "/vms/{name}/files/copy-in",
      summary: "Copy files from the host into a machine",
    })
    .input(fileCopyIn)
    .output(eventIterator(progress, fileCopied)),
  copyOut: fails(...failures)
    .route({
      method: "POST",
      path: "/vms/{name}/files/copy-out",
      summary: "Copy files from a machine to the host",
    })
    .input(fileCopyOut)
    .output(eventIterator(progress, fileCopied)),
  watch: file
    .route({ method: "GET", path: "/vms/{name}/files/watch", summary: "Watch a path for changes" })
    .input(fileRef.extend({ recursive: queryFlag.optional() }))
    .output(eventIterator(fileChange)),
};
