/** Which workspace of which machine is meant, and which directory of the host belongs to it. */
import { existsSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { asGuestPath } from "#cli/args/guest-path.ts";
import type { Context } from "#cli/context.ts";
import { findSource } from "#workspace/git/source.ts";
import { OBJECTS_MAX_BYTES } from "#workspace/guest/objects.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { type OpenWorkspace, openWorkspace } from "#workspace/open.ts";
import {
  listRecords,
  pruneRecords,
  readRecord,
  recordFolder,
  type WorkspaceRecord,
} from "#workspace/record.ts";
import { machinePort } from "./port.ts";

export const WORKSPACE_PATH = "/workspace";

export interface FoundWorkspace {
  vm: { id: string; name: string };
  /** In the machine. */
  path: string;
  record: WorkspaceRecord | undefined;
  folder: string;
  /** On the host; undefined where there is none. */
  source: string | undefined;
  port: GuestPort;
}

export interface FindFlags {
  repo?: string | undefined;
  user?: string | undefined;
}

/** `text`: "testbox", or "testbox:/path" where a machine has several. */
export async function findWorkspace(
  context: Context,
  text: string,
  flags: FindFlags,
): Promise<FoundWorkspace> {
  const given = asGuestPath(text);
  const vm = await findVm(context, given?.name ?? text);
  const root = context.paths.workspaces;
  const path = given ? guestFolder(given.path) : onlyPath(listRecords(root, vm.id), vm.name);
  const folder = recordFolder(root, vm.id, path);
  const record = readRecord(folder);
  const source = await sourceOf(record, flags.repo);
  return { vm, path, record, folder, source, port: machinePort(context, vm.id, flags.user) };
}

/** Records of machines that are gone are removed on the way. */
export async function findVm(
  context: Context,
  name: string,
): Promise<{ id: string; name: string }> {
  const client = await context.daemon();
  const vms = await client.vm.list({}, { signal: context.interrupt.signal });
  pruneRecords(context.paths.workspaces, new Set(vms.map(({ id }) => id)));
  const vm = await client.vm.show({ name }, { signal: context.interrupt.signal });
  return { id: vm.id, name: vm.name };
}

export async function open(
  context: Context,
  found: FoundWorkspace,
  max_bytes = OBJECTS_MAX_BYTES,
): Promise<OpenWorkspace> {
  const { signal } = context.interrupt;
  return await openWorkspace(found.port, { ...found, max_bytes, signal });
}

/** Absolute, and without dots; a whole machine is no workspace. */
export function guestFolder(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/") && parts.length > 0 && !parts.includes(".."))
    return `/${parts.join("/")}`;
  throw new BangerError("invalid_argument", `invalid workspace path "${path}"`, {
    hint: `Use an absolute path of a directory in the machine, such as ${WORKSPACE_PATH}`,
  });
}

function onlyPath(records: readonly WorkspaceRecord[], name: string): string {
  const [first, second] = records;
  if (!second) return first?.path ?? WORKSPACE_PATH;
  const paths = records.map(({ path }) => `${name}:${path}`).join(", ");
  throw new BangerError("invalid_argument", `machine "${name}" has more than one workspace`, {
    hint: `Name one of them: ${paths}`,
  });
}

/** Where it was imported from, or the repository of the present directory. */
async function sourceOf(
  record: WorkspaceRecord | undefined,
  repo: string | undefined,
): Promise<string | undefined> {
  if (repo === undefined && record && existsSync(record.source)) return record.source;
  if (repo === undefined && record?.kind === "folder") return undefined;
  const source = await findSource(repo ?? process.cwd());
  if (source.kind === "repository") return source.top;
  if (repo === undefined) return undefined;
  throw new BangerError("invalid_argument", `"${repo}" is not a git repository`);
}
