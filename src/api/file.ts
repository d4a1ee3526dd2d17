/** Files of a machine, as every client sees them. */
import { z } from "zod";
import { hostPath, queryInteger } from "./fields.ts";
import { vmRef } from "./vm.ts";

/** Of one read or write by a call; longer files go over the WebSocket, or piece by piece. */
export const FILE_PIECE_MAX_BYTES = 1024 * 1024;

/** A path in the machine; relative ones begin at "/". */
export const guestPath = z
  .string()
  .min(1)
  .max(4095)
  .refine((path) => !path.includes("\0"), { error: "a path cannot contain a NUL byte" });

/** A user of the machine, by name or number, with an optional ":group". */
export const guestUser = z.string().min(1).max(256);

export const fileInfo = z.object({
  kind: z.enum(["file", "directory", "symlink", "fifo", "socket", "character", "block", "unknown"]),
  /** Permission, setuid, setgid and sticky bits. */
  mode: z.int(),
  size_bytes: z.number(),
  uid: z.number(),
  gid: z.number(),
  links: z.number(),
  modifiedAt: z.iso.datetime(),
  /** Of a symlink. */
  target: z.string().optional(),
});
export type FileInfo = z.infer<typeof fileInfo>;

export const directoryEntry = fileInfo.extend({ name: z.string() });
export type DirectoryEntry = z.infer<typeof directoryEntry>;

/** What every request about a file says. `user`: as whom it is done; default root. */
export const fileRef = z.object({ name: vmRef, path: guestPath, user: guestUser.optional() });

export const fileRead = fileRef.extend({
  offset: queryInteger(0, Number.MAX_SAFE_INTEGER).optional(),
  length_bytes: queryInteger(1, FILE_PIECE_MAX_BYTES).optional(),
});

export const fileWrite = fileRef.extend({
  /** Base64. */
  data: z.base64().max(Math.ceil(FILE_PIECE_MAX_BYTES / 3) * 4),
  /** Default: that of the file that is there, or 0644. */
  mode: z.int().min(0).max(0o7777).optional(),
});

export const fileMkdir = fileRef.extend({
  mode: z.int().min(0).max(0o7777).optional(),
  /** Those above it as well, and none of them needs to be missing. */
  parents: z.boolean().optional(),
});

export const fileRemove = fileRef.extend({
  /** A folder with all that is in it. */
  recursive: z.boolean().optional(),
  /** One that is not there is removed already. */
  force: z.boolean().optional(),
});

/**
 * A file or tree goes to `to`: into it when it is a folder, otherwise in its place, as with `cp -a`.
 * A source that ends in "/." stands for what is in the folder.
 */
export const fileCopyIn = fileRef.extend({ from: hostPath });
export const fileCopyOut = fileRef.extend({ to: hostPath });

export const fileCopied = z.object({
  entries: z.number(),
  size_bytes: z.number(),
  /** Devices, pipes and sockets, which are not copied: how many, and the first of them. */
  skipped: z.number(),
  skippedNames: z.array(z.string()),
});
export type FileCopied = z.infer<typeof fileCopied>;

export const fileChange = z.object({
  /** `ready`: from here on nothing is missed; `overflow`: something was. */
  kind: z.enum(["ready", "created", "changed", "attributes", "removed", "overflow"]),
  /** Below the watched path, or the path itself. */
  path: z.string(),
  isFolder: z.boolean(),
});
