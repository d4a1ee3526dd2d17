import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { vmCreateRequest } from "#cli/args/create.ts";
import type { Context, Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { planOf, runPlanned, type ToolingFlags, withTools } from "#cli/tooling/prepare.ts";
import { checkWorkspace, type ImportFlags, noteLeftOut, runImport } from "#cli/workspace/import.ts";
import type { Plan } from "#tooling/plan.ts";

export const run: Handler<typeof vmCommands.commands.create> = async ({ args, flags }, context) => {
  const given = vmCreateRequest({ args, flags });
  const { workspace } = flags;
  if (workspace !== undefined) await checkWorkspace(context, workspace);
  const plan = planOf(flags);
  if (plan && flags.snapshot !== undefined) {
    throw new BangerError("invalid_argument", "conflicting options: --snapshot and --tooling");
  }
  const { setup } = flags;
  const request = plan ? await withTools(context, plan, { create: given, setup }) : given;
  const client = await context.daemon();
  const vm = await follow(context, () =>
    client.vm.create(request, { signal: context.interrupt.signal }),
  );
  if (workspace !== undefined) await fill(context, { vm, workspace, flags, plan });
  await context.output.document(vm, () => vm.name);
  if (vm.warning) context.output.warn(vm.warning);
};

/** A machine without its files is of no use. */
async function fill(
  context: Context,
  input: {
    vm: Vm;
    workspace: string;
    flags: ImportFlags & ToolingFlags;
    plan: Plan | undefined;
  },
): Promise<void> {
  try {
    using progress = await context.progress();
    const onProgress = progress.report;
    const result = await runImport(context, { ...input, onProgress });
    const { vm, plan, flags } = input;
    if (plan) await runPlanned(context, plan, { vm: vm.id, flags, onProgress });
    progress.finish();
    progress[Symbol.dispose]();
    noteLeftOut(context, result);
  } catch (error) {
    const client = await context.daemon();
    await client.vm.remove({ name: input.vm.id, force: true }).catch(() => {});
    throw error;
  }
}
