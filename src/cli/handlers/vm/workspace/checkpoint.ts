import type { Context, Handler } from "#cli/context.ts";
import { pause } from "#cli/pause.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { saveCheckpoint } from "#cli/workspace/checkpoint.ts";
import { findWorkspace } from "#cli/workspace/find.ts";
import type { Checkpoint } from "#workspace/checkpoint/create.ts";

type Handled = typeof vmCommands.commands.workspace.commands.checkpoint;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const found = await findWorkspace(context, args.workspace, flags);
  const { message, every } = flags;
  if (every === undefined) {
    const made = await saveCheckpoint(context, found, { message });
    return await context.output.document(made, () => describe(made));
  }
  for (;;) {
    await print(context, await saveCheckpoint(context, found, { message, onlyChanged: true }));
    await pause(every, context.interrupt.signal);
  }
};

async function print({ output }: Context, made: Checkpoint[]): Promise<void> {
  if (made.length > 0) await output.item(made, describe(made));
}

function describe([first]: Checkpoint[]): string {
  return `Checkpoint ${first?.number} (${first?.id.slice(0, 12)})`;
}
