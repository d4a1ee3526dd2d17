/**
 * Puts a repository or directory of the host into a machine. The host's files are only read. A first import that is cut
 * off leaves no valid repository in the machine, and importing again completes it.
 */
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { TreeEntry } from "#base/files/tree-records.ts";
import type { WorkOptions } from "#base/progress.ts";
import { comparingConfig, readConfig } from "#workspace/git/config.ts";
import { makeScratch } from "#workspace/git/scratch.ts";
import { findSource } from "#workspace/git/source.ts";
import { newMark } from "#workspace/guest/mark.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { readTree } from "#workspace/guest/tree-records.ts";
import { guestChanges } from "#workspace/guest-changes.ts";
import { joinName, someOf } from "#workspace/names.ts";
import {
  objectsFolder,
  readRecord,
  signatureOf,
  type WorkspaceRecord,
  writeRecord,
} from "#workspace/record.ts";
import { stagingFolder } from "#workspace/staging.ts";
import { type FileChoice, type HostFiles, listFolder } from "./host-files.ts";
import type { Part } from "./part.ts";
import { planRepositories, type RepositoryPlan } from "./plan.ts";
import { sendWorkspace } from "./send.ts";
import { walkFolder } from "./walk-folder.ts";

export interface ImportRequest extends Partial<FileChoice> {
  /** The machine's ID. */
  vm: string;
  /** Of the host. */
  source: string;
  /** Of the machine, absolute. */
  path: string;
  depth?: number | undefined;
  /** Also over what has changed in the machine. */
  force?: boolean | undefined;
  /** Where the record of this workspace is kept. */
  folder: string;
}

export interface ImportResult {
  path: string;
  kind: "repository" | "folder";
  branch: string | undefined;
  head: string | undefined;
  /** Files of working trees, all and those that were sent. */
  files: number;
  sentFiles: number;
  removedFiles: number;
  sent_bytes: number;
  repositories: number;
  /** Left out because of their names. */
  secrets: string[];
  /** Sent although of such a name, since they are in the commits or the index. */
  trackedSecrets: string[];
  /** Sockets, pipes and devices. */
  skipped: string[];
}

export async function importWorkspace(
  guest: GuestPort,
  request: ImportRequest,
  work: WorkOptions = {},
): Promise<ImportResult> {
  using staging = stagingFolder(tmpdir(), "workspace");
  const { path: scratch } = staging;
  work.onProgress?.({ step: "read", message: `Reading ${request.source}` });
  const { kind, top, parts } = await readSource(request, scratch, work);
  const tree = await readTree(guest, request.path);
  const record = await checkPlace(guest, { request, tree, parts });
  const files = Object.fromEntries(parts.flatMap((part) => [...signaturesOf(part)]));
  const mark = newMark();
  const next: WorkspaceRecord = {
    version: 1,
    state: "imported",
    kind,
    vm: request.vm,
    path: request.path,
    source: top,
    importedAt: new Date().toISOString(),
    mark,
    repositories: parts.flatMap(({ plan }) => (plan ? [recordOf(plan)] : [])),
    files,
  };
  // Until this import is complete, the record marks all files as imported.
  writeRecord(request.folder, {
    ...next,
    state: "importing",
    files: { ...record?.files, ...files },
  });
  const sent = await sendWorkspace(guest, { ...request, parts, tree, record, mark, scratch }, work);
  writeRecord(request.folder, next);
  const lists = parts.map(({ name, found }) => ({ name, found }));
  const named = (pick: (found: HostFiles) => string[]) =>
    lists.flatMap(({ name, found }) => pick(found).map((file) => joinName(name, file)));
  return {
    path: request.path,
    kind,
    branch: parts[0]?.plan?.state.branch,
    head: parts[0]?.plan?.state.head,
    files: Object.keys(files).length,
    ...sent,
    repositories: next.repositories.length,
    secrets: named(({ secrets }) => secrets),
    trackedSecrets: named(({ trackedSecrets }) => trackedSecrets),
    skipped: named(({ skipped }) => skipped),
  };
}

async function readSource(request: ImportRequest, scratch: string, { signal }: WorkOptions) {
  const choice = {
    includeIgnored: request.includeIgnored ?? [],
    includeSecrets: request.includeSecrets ?? false,
  };
  const source = await findSource(request.source, signal);
  if (source.kind === "folder") {
    const found = await listFolder(source.top, choice, walkFolder);
    const part: Part = { name: "", top: source.top, found, plan: undefined };
    return { kind: source.kind, top: source.top, parts: [part] };
  }
  const objects = objectsFolder(request.folder);
  const plans = await planRepositories(source.top, "", {
    ...choice,
    depth: request.depth,
    scratch,
    async objectsOf(repository) {
      const name = crypto.randomUUID().slice(0, 8);
      const folder = join(objects, name);
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const config = comparingConfig(await readConfig(repository.git));
      const own = makeScratch(folder, { hash: repository.hash, alternates: [], config, signal });
      return { name, own };
    },
    signal,
  });
  const parts = plans.map(
    (plan): Part => ({ name: plan.name, top: plan.repository.top, found: plan.found, plan }),
  );
  return { kind: source.kind, top: source.top, parts };
}

function* signaturesOf({ name, found }: Part): Generator<[string, string]> {
  for (const file of found.files) yield [joinName(name, file.name), signatureOf(file)];
}

function recordOf({
  name,
  base,
  state,
  objects,
}: RepositoryPlan): WorkspaceRecord["repositories"][number] {
  const { head, branch, refs } = state;
  return { name, base, head, branch, objects, refs: Object.fromEntries(refs) };
}

/** Returns the record of an earlier import. Refuses to overwrite files that were not imported or have changed. */
async function checkPlace(
  guest: GuestPort,
  input: {
    request: ImportRequest;
    tree: ReadonlyMap<string, TreeEntry> | undefined;
    parts: readonly Part[];
  },
): Promise<WorkspaceRecord | undefined> {
  const { request, tree, parts } = input;
  const record = readRecord(request.folder);
  if (!tree || tree.size <= 1 || request.force) return record;
  if (!record) {
    throw new BangerError(
      "already_exists",
      `Cannot import to "${request.path}": the directory is not empty`,
      {
        hint: "Import to another directory, or overwrite its files with --force",
      },
    );
  }
  if (record.state === "importing") return record;
  const next = new Map(parts.flatMap((part) => [...signaturesOf(part)]));
  const changes = await guestChanges(guest, { record, tree });
  // Files that the import would leave unchanged are not lost.
  const lost = changes.files.filter((name) => {
    const entry = tree.get(name);
    return next.get(name) !== (entry ? signatureOf(entry) : undefined);
  });
  const what = [...changes.refs, ...lost];
  if (what.length === 0) return record;
  throw new BangerError(
    "conflict",
    `Cannot import to "${request.path}": it has changed in the machine: ${someOf(what)}`,
    { hint: "Fetch or export the changes first, or overwrite them with --force" },
  );
}
