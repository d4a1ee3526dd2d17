/** Workspaces in machines, as every client sees them. Paths and patches are the guest's: any text. */
import { z } from "zod";
import { hostPath, queryFlag, queryInteger } from "#api/fields.ts";
import { vmRef } from "#api/vm.ts";

const CHECKPOINT_MAX = 999_999_999;
const MESSAGE_MAX_LENGTH = 10_000;

/** In the guest: absolute, below its root. The command line has ":/" before such a path, so it is none of it. */
export const workspacePath = z
  .string()
  .max(1024)
  .regex(/^\/[^\0]*[^/\0][^\0]*$/, { error: "not an absolute path below /" })
  .refine((path) => !path.includes(":/"), { error: 'cannot contain ":/"' });

/** `path`: default: the only workspace of the machine. */
export const workspaceRef = z.object({ name: vmRef, path: workspacePath.optional() });
export type WorkspaceRef = z.infer<typeof workspaceRef>;

/** As it was imported. */
export const workspace = z.object({
  /** In the machine. */
  path: z.string(),
  /** On the host. */
  source: z.string(),
  kind: z.enum(["repository", "folder"]),
  /** "importing": the import was interrupted. */
  state: z.enum(["importing", "imported"]),
  importedAt: z.string(),
});
export type Workspace = z.infer<typeof workspace>;

export const workspaceImport = z.object({
  name: vmRef,
  /** A directory of the host. */
  source: hostPath,
  /** Default: /workspace. */
  path: workspacePath.optional(),
  /** Overwrites what has changed in the machine. */
  force: z.boolean().optional(),
});
export type WorkspaceImport = z.infer<typeof workspaceImport>;

export const workspaceImported = z.object({
  path: z.string(),
  kind: z.enum(["repository", "folder"]),
  branch: z.string().optional(),
  head: z.string().optional(),
  files: z.int(),
  sentFiles: z.int(),
  sent_bytes: z.int(),
  /** Left out, since their names suggest secrets. */
  secrets: z.array(z.string()),
});

/** A changed file of a repository, as git's status has it: letters of " MADRCTU?". */
export const workspaceChange = z.object({
  path: z.string(),
  staged: z.string(),
  unstaged: z.string(),
  /** "new commits", "modified content", "untracked content". */
  submodule: z.array(z.string()).optional(),
  /** Before it was renamed. */
  from: z.string().optional(),
});

export const workspaceStatus = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("repository"),
    /** The workspace itself is the first; its path is "". */
    repositories: z.array(
      z.object({
        path: z.string(),
        branch: z.string().optional(),
        head: z.string().optional(),
        changes: z.array(workspaceChange),
      }),
    ),
  }),
  z.object({
    kind: z.literal("folder"),
    /** Since the import. */
    changes: z.array(z.object({ status: z.enum(["A", "M", "D"]), path: z.string() })),
  }),
]);
export type WorkspaceStatus = z.infer<typeof workspaceStatus>;

const checkpointNumber = queryInteger(1, CHECKPOINT_MAX);

/** Default: the working tree, untracked files included, with what was imported. */
export const workspaceDiff = workspaceRef
  .extend({
    /** A checkpoint in place of what was imported. */
    from: checkpointNumber.optional(),
    /** A checkpoint in place of the working tree. */
    to: checkpointNumber.optional(),
    /** With HEAD. */
    head: queryFlag.optional(),
    /** The index with HEAD. */
    staged: queryFlag.optional(),
  })
  .refine(({ from, to }) => from !== undefined || to === undefined, {
    error: '"to" needs "from"',
  });

/** One for each repository of the workspace. */
export const workspacePatch = z.object({
  /** Of the repository: "" is the workspace itself. */
  path: z.string(),
  /** A unified diff; bytes that are not UTF-8 are replaced. */
  patch: z.string(),
});
export type WorkspacePatch = z.infer<typeof workspacePatch>;

export const workspaceExport = workspaceRef.extend({
  format: z.enum(["patch", "tar", "bundle"]),
});

/** A piece of the file. */
export const workspacePiece = z.object({ data: z.base64() });

export const workspaceCheckpoint = z.object({
  number: z.int(),
  /** Of its commit. */
  id: z.string(),
  createdAt: z.string(),
  /** The first line. */
  message: z.string(),
});
export type WorkspaceCheckpoint = z.infer<typeof workspaceCheckpoint>;

export const workspaceCheckpointMake = workspaceRef.extend({
  message: z
    .string()
    .min(1)
    .max(MESSAGE_MAX_LENGTH)
    .regex(/^[^\0]*$/)
    .optional(),
});

export const workspaceRestore = workspaceRef.extend({
  checkpoint: z.int().min(1).max(CHECKPOINT_MAX),
});

/** One for each repository of the workspace that has the checkpoint. */
export const workspaceRestored = z.object({
  root: z.string(),
  written: z.int(),
  removed: z.int(),
});
