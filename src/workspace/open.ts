/** A workspace in a machine, with its import record and repository on the host. */
import { realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { BangerError } from "#base/error.ts";
import type { TreeEntry } from "#base/files/tree-records.ts";
import { isRepositoryAt, openRepository, type Repository } from "./git/source.ts";
import { marksIn } from "./guest/mark.ts";
import type { GuestPort } from "./guest/port.ts";
import { readTree } from "./guest/tree-records.ts";
import { toText } from "./names.ts";
import { type Capture, captureRepository, nestedRoots } from "./out/capture.ts";
import { objectsFolder, type RepositoryRecord, type WorkspaceRecord } from "./record.ts";
import { stagingFolder } from "./staging.ts";

export interface WorkspaceRequest {
  /** In the machine. */
  path: string;
  record: WorkspaceRecord | undefined;
  /** Of the record. */
  folder: string;
  /** The user's repository; undefined if there is none. */
  source: string | undefined;
  max_bytes: number;
  signal?: AbortSignal | undefined;
}

/** One repository of the workspace. */
export interface Captured extends Capture {
  /** The user's. */
  repository: Repository | undefined;
  /** Of the last import. */
  record: RepositoryRecord | undefined;
  /** The machine was killed before its kernel had written what was imported or mirrored. */
  hasLostFiles: boolean;
  /** An import was interrupted: what it has not sent is older than `record`. */
  isHalfSent: boolean;
}

export interface OpenWorkspace extends Disposable {
  tree: ReadonlyMap<string, TreeEntry>;
  /** The workspace itself is the first; none if it is no repository. */
  repositories: Captured[];
  /** A scratch directory, as long as the workspace is open. */
  scratch: string;
}

export async function openWorkspace(
  guest: GuestPort,
  request: WorkspaceRequest,
): Promise<OpenWorkspace> {
  const { path, signal } = request;
  const tree = await readTree(guest, path);
  if (!tree) {
    throw new BangerError("not_found", `no directory "${path}" in the machine`, {
      hint: "Import a workspace first: banger vm workspace import VM DIRECTORY",
    });
  }
  const staging = stagingFolder(tmpdir(), "workspace");
  const { path: scratch } = staging;
  try {
    const repositories: Captured[] = [];
    const hasLostFiles = request.record?.mark !== undefined && marksIn(tree).marks.size === 0;
    const isHalfSent = request.record?.state === "importing";
    const roots = tree.has(".git/HEAD") ? ["", ...nestedRoots(tree, "")] : [];
    const heads = new Map<string, string | undefined>();
    // Those below are first: their commits are in the tree of the one that they are in.
    for (const [at, root] of [...roots.entries()].toReversed()) {
      const repository = await repositoryOf(request.source, root, signal);
      const record = request.record?.repositories.find(({ name }) => name === root);
      const own = record ? [join(objectsFolder(request.folder), record.objects, "objects")] : [];
      const capture = await captureRepository(guest, {
        ...{ path, root, tree, repository, signal },
        alternates: own,
        folder: join(scratch, String(at)),
        max_bytes: request.max_bytes,
        heads,
      });
      heads.set(root, capture.refs.head);
      repositories.unshift({ ...capture, repository, record, hasLostFiles, isHalfSent });
    }
    return { tree, repositories, scratch, [Symbol.dispose]: () => staging[Symbol.dispose]() };
  } catch (error) {
    staging[Symbol.dispose]();
    throw error;
  }
}

/** Files that are missing or empty since a crash, or that an import has not sent, are no changes of anyone's. */
export function assertComplete({ hasLostFiles, isHalfSent }: Captured): void {
  if (isHalfSent) {
    throw new BangerError("conflict", "Cannot apply: the last import was interrupted", {
      hint: "Complete it with: banger vm workspace import VM DIRECTORY",
    });
  }
  if (!hasLostFiles) return;
  throw new BangerError(
    "conflict",
    "Cannot apply: the machine was killed after files were sent to it, and may have lost some of them",
    {
      hint: "Send them again with: banger vm workspace sync --once VM, which keeps both versions of files that differ",
    },
  );
}

/** The user's repository at the same place, if there is one. */
async function repositoryOf(
  source: string | undefined,
  root: string,
  signal: AbortSignal | undefined,
): Promise<Repository | undefined> {
  const name = toText(root);
  if (source === undefined || name === undefined) return undefined;
  const top = join(source, name);
  // The name comes from the guest: it must resolve below the source, never through a symlink out of it.
  if (!isBelow(source, top) || !isRepositoryAt(top)) return undefined;
  return await openRepository(top, signal);
}

function isBelow(source: string, top: string): boolean {
  try {
    const [real, root] = [realpathSync(top), realpathSync(source)];
    return real === join(root, relative(source, top));
  } catch {
    return false;
  }
}
