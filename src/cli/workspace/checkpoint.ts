/** Checkpoints of a workspace, for the commands that write them. */
import { BangerError } from "#base/error.ts";
import type { Context } from "#cli/context.ts";
import { pause } from "#cli/pause.ts";
import {
  type Checkpoint,
  type CheckpointOptions,
  createCheckpoint,
} from "#workspace/checkpoint/create.ts";
import type { OpenWorkspace } from "#workspace/open.ts";
import { type FoundWorkspace, findWorkspace, open } from "./find.ts";
import { parseWorkspace } from "./import.ts";

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

/** Saves checkpoints until it is disposed of. One that fails is followed by the next; nothing is printed. */
export function checkpointing(
  context: Context,
  { vm, workspace, every_ms, user }: CheckpointLoop,
): Disposable {
  const ends = new AbortController();
  const { path } = parseWorkspace(workspace);
  const save = async (): Promise<void> => {
    const found = await findWorkspace(context, `${vm.name}:${path}`, { user });
    await saveCheckpoint(context, found, { onlyChanged: true });
  };
  const loop = async (): Promise<void> => {
    for (;;) {
      await pause(every_ms, ends.signal);
      await save().catch(() => {});
    }
  };
  loop().catch(() => {});
  return { [Symbol.dispose]: () => ends.abort() };
}

interface CheckpointLoop {
  vm: { name: string };
  workspace: string;
  every_ms: number;
  user: string | undefined;
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
