import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { completionScript, SHELLS } from "#cli/completion/script.ts";
import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";

export const run: Handler<typeof root.commands.completion> = async ({ args }, { output }) => {
  const shell = SHELLS.find((each) => each === args.shell);
  if (!shell) {
    throw new BangerError("invalid_argument", `unsupported shell "${args.shell}"`, {
      hint: didYouMean(args.shell, SHELLS, `Supported shells: ${SHELLS.join(", ")}`),
    });
  }
  const script = completionScript(shell);
  await output.document({ script }, () => script);
};
