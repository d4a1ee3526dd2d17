import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { numberOf, repositoryPath } from "#cli/workspace/checkpoint.ts";
import { findWorkspace, open } from "#cli/workspace/find.ts";
import { createCheckpoint } from "#workspace/checkpoint/create.ts";
import { checkpointTree } from "#workspace/checkpoint/log.ts";
import { restoreCheckpoint } from "#workspace/checkpoint/restore.ts";

type Handled = typeof vmCommands.commands.workspace.commands.restore;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const { output } = context;
  const number = numberOf(args.checkpoint);
  const found = await findWorkspace(context, args.workspace, flags);
  using workspace = await open(context, found);
  const at = { path: repositoryPath(found, workspace), workspace };
  const [capture] = workspace.repositories;
  if (capture) await checkpointTree(capture, number);
  const message = `Before restoring checkpoint ${number}`;
  const [saved] = await createCheckpoint(found.port, at, { message, onlyChanged: true });
  const results = await restoreCheckpoint(found.port, at, number);
  await output.document(results, () => {
    const written = results.reduce((sum, each) => sum + each.written, 0);
    const removed = results.reduce((sum, each) => sum + each.removed, 0);
    return `Restored checkpoint ${number}: ${written} files written, ${removed} removed`;
  });
  if (saved) output.note(`The working tree before it is checkpoint ${saved.number}`);
};
