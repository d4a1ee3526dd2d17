import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { findVm } from "#cli/workspace/find.ts";
import { describeImport, noteLeftOut, runImport } from "#cli/workspace/import.ts";

type Handled = typeof vmCommands.commands.workspace.commands.import;

export const run: Handler<Handled> = async ({ args, flags }, context) => {
  const vm = await findVm(context, args.vm);
  using progress = await context.progress();
  const onProgress = progress.report;
  const result = await runImport(context, { vm, workspace: args.source, flags, onProgress });
  progress.finish();
  progress[Symbol.dispose]();
  noteLeftOut(context, result);
  await context.output.document(result, () => describeImport(result));
};
