import type { RepairStep } from "#api/system.ts";
import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { repairCommand } from "#cli/spec/daemon.ts";

export const run: Handler<typeof repairCommand> = async ({ flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const steps = await client.system.repair({ dryRun: flags.dryRun }, { signal: interrupt.signal });
  await output.document(steps, () => (output.quiet ? "" : textOf(steps)));
  return steps.some(({ failure }) => failure !== undefined) ? 1 : 0;
};

function textOf(steps: readonly RepairStep[]): string {
  if (steps.length === 0) return "Nothing to repair";
  return table(
    ["MACHINE", "ACTION", "WHY", "FAILURE"],
    steps.map((step) => [step.machine ?? "-", step.action, step.detail, step.failure ?? "-"]),
  );
}
