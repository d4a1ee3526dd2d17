/** Checkpoints of a workspace, for the commands that write them. */
import { BangerError } from "#base/error.ts";
import type { Context } from "#cli/context.ts";
import {
  type Checkpoint,
  type CheckpointOptions,
  createCheckpoint,
} from "#workspace/checkpoint/create.ts";
import type { OpenWorkspace } from "#workspace/open.ts";
import { type FoundWorkspace, open } from "./find.ts";

export async function saveCheckpoint(
  context: Context,
  found: FoundWorkspace,
  options: CheckpointOptions,
): Promise<Checkpoint[]> {
  using workspace = await open(context, found);
  return await createCheckpoint(
    found.port,
    { path: repositoryPath(found, workspace), workspace },
    options,
  );
}

/** Checkpoints are commits: a plain directory has none. */
export function repositoryPath({ path, vm }: FoundWorkspace, workspace: OpenWorkspace): string {
  if (workspace.repositories.length > 0) return path;
  throw new BangerError(
    "unsupported",
    `Cannot use checkpoints in "${path}": not a git repository`,
    {
      hint: `Save the whole machine with: banger vm snapshot create ${vm.name}`,
    },
  );
}

export function numberOf(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new BangerError("invalid_argument", `invalid checkpoint "${text}"`, {
    hint: "Use a number from: banger vm workspace log VM",
  });
}
