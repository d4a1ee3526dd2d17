import { BangerError } from "#base/error.ts";
import { safeText } from "#base/printable.ts";
import { selfCommand } from "#base/self-command.ts";
import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { setupCommand } from "#cli/spec/setup.ts";
import type { SetupAction, SetupStep } from "#host/setup.ts";

type Flags = Parameters<Handler<typeof setupCommand>>[0]["flags"];

export const run: Handler<typeof setupCommand> = async ({ flags }, { output }) => {
  const action = actionOf(flags);
  const { taps, hostTaps, user, dryRun } = flags;
  const program = selfCommand();
  const { runSetup } = await import("#host/setup.ts");
  const steps = await runSetup({ action, program, isDryRun: dryRun, taps, hostTaps, user });
  await output.document(steps, () => render(steps, dryRun));
  if (dryRun) return output.note("Dry run: nothing was changed.");
  if (action !== "set up") return;
  output.note("Machines can now use --net nat without root. Undo with: sudo banger setup --undo");
};

/** `invalid_argument` for flags that do not go together. */
function actionOf(flags: Flags): SetupAction {
  const action = flags.restore ? "restore" : flags.undo ? "undo" : "set up";
  const others = {
    "--undo": flags.undo && flags.restore,
    "--dry-run": flags.dryRun && flags.restore,
    "--taps": flags.taps !== undefined,
    "--host-taps": flags.hostTaps !== undefined,
    "--user": flags.user !== undefined,
  };
  const given = Object.entries(others).find(([, isGiven]) => isGiven)?.[0];
  if (action === "set up" || given === undefined) return action;
  throw new BangerError("invalid_argument", `conflicting options: ${given} and --${action}`, {
    hint: `Run: sudo banger setup --${action}`,
  });
}

const verbs = { command: "run", file: "write", remove: "remove" } as const;

/** `isWhole`: with what commands read and files hold. */
function render(steps: readonly SetupStep[], isWhole: boolean): string {
  if (steps.length === 0) return "";
  const nameOf = (step: SetupStep) => (step.kind === "command" ? step.command : step.path);
  const rows = steps.map((step) => [verbs[step.kind], nameOf(step)]);
  const texts = steps.flatMap((step) => {
    const text =
      step.kind === "command" ? step.input : step.kind === "file" ? step.content : undefined;
    return text === undefined ? [] : [`\n${nameOf(step)}:\n${safeText(text).trimEnd()}`];
  });
  return [table(["STEP", "WHAT"], rows), ...(isWhole ? texts : [])].join("\n");
}
