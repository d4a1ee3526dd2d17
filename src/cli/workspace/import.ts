/** Imports a directory of the host into a machine, and says what was left out. */
import { safeLine } from "#base/printable.ts";
import type { OnProgress } from "#base/progress.ts";
import { formatSize } from "#base/size.ts";
import type { Context } from "#cli/context.ts";
import { findSource } from "#workspace/git/source.ts";
import { type ImportResult, importWorkspace } from "#workspace/in/import.ts";
import { someOf } from "#workspace/names.ts";
import { recordFolder } from "#workspace/record.ts";
import { guestFolder, WORKSPACE_PATH } from "./find.ts";
import { machinePort } from "./port.ts";

export interface ImportFlags {
  depth?: number | undefined;
  includeIgnored: string[];
  includeSecrets: boolean;
  force?: boolean;
  user?: string | undefined;
}

/** "PATH" or "PATH:/path/in/the/machine". */
export function parseWorkspace(text: string): { source: string; path: string } {
  const match = /^(.+):(\/.*)$/s.exec(text);
  return match
    ? { source: match[1] ?? "", path: guestFolder(match[2] ?? "") }
    : { source: text, path: WORKSPACE_PATH };
}

/** Before anything is pulled, installed or created for it. */
export async function checkWorkspace({ interrupt }: Context, text: string): Promise<void> {
  await findSource(parseWorkspace(text).source, interrupt.signal);
}

export async function runImport(
  context: Context,
  input: {
    vm: { id: string };
    workspace: string;
    flags: ImportFlags;
    onProgress?: OnProgress | undefined;
  },
): Promise<ImportResult> {
  const { vm, flags, onProgress } = input;
  const { source, path } = parseWorkspace(input.workspace);
  return await importWorkspace(
    machinePort(context, vm.id, flags.user),
    {
      vm: vm.id,
      source,
      path,
      depth: flags.depth,
      includeIgnored: flags.includeIgnored,
      includeSecrets: flags.includeSecrets,
      force: flags.force,
      folder: recordFolder(context.paths.workspaces, vm.id, path),
    },
    { signal: context.interrupt.signal, onProgress },
  );
}

export function noteLeftOut({ output }: Context, result: ImportResult): void {
  const { secrets, trackedSecrets, skipped } = result;
  if (secrets.length > 0) {
    output.note(
      `Left out, may hold secrets: ${safeLine(someOf(secrets))} (--include-secrets sends them)`,
    );
  }
  if (trackedSecrets.length > 0) {
    output.warn(
      `sent because git tracks them, may hold secrets: ${safeLine(someOf(trackedSecrets))}`,
    );
  }
  if (skipped.length > 0) output.note(`Left out, not a file: ${safeLine(someOf(skipped))}`);
}

export function describeImport(result: ImportResult): string {
  const { path, branch, head, files, sentFiles, sent_bytes } = result;
  const at =
    result.kind === "folder"
      ? ""
      : ` ${branch?.replace(/^refs\/heads\//, "") ?? "HEAD"} at ${head?.slice(0, 12) ?? "no commit"},`;
  return `${path}:${at} ${files} files, sent ${sentFiles} (${formatSize(sent_bytes)})`;
}
