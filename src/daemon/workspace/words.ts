/** Requests about workspaces as words of the command line. What clients give can be no option, and no other machine. */
import type { z } from "zod";
import type {
  WorkspaceImport,
  WorkspaceRef,
  workspaceDiff,
  workspaceExport,
} from "#api/workspace/workspace.ts";

const PATH = "/workspace";

/** `id`: of the machine. */
export function refWord(id: string, { path }: Pick<WorkspaceRef, "path">): string {
  return path === undefined ? id : `${id}:${path}`;
}

export function importWords(id: string, { source, path = PATH, force }: WorkspaceImport): string[] {
  return ["import", id, `${source}:${path}`, ...(force ? ["--force"] : [])];
}

export function diffWords(id: string, input: z.output<typeof workspaceDiff>): string[] {
  const { from, to, head, staged } = input;
  const numbers = [from, to].filter((each) => each !== undefined);
  return [
    ...["diff", refWord(id, input), ...numbers.map(String), "--patch"],
    ...(head ? ["--head"] : []),
    ...(staged ? ["--staged"] : []),
  ];
}

export function exportWords(
  id: string,
  input: z.output<typeof workspaceExport>,
  file: string,
): string[] {
  return ["export", refWord(id, input), file, `--${input.format}`];
}

export function checkpointWords(
  id: string,
  input: WorkspaceRef & { message?: string | undefined },
): string[] {
  const { message } = input;
  const words = ["checkpoint", refWord(id, input)];
  return message === undefined ? words : [...words, `--message=${message}`];
}
