import { BangerError } from "#base/error.ts";
import { readEnvironment } from "#cli/args/env.ts";
import type { Handler } from "#cli/context.ts";
import { execRequest, runSession } from "#cli/exec/session.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.exec> = async ({ args, flags }, context) => {
  if (args.command.length === 0) {
    throw new BangerError("invalid_argument", "Cannot run a command: none was given", {
      hint: `Give it after the machine: banger vm exec ${args.vm} -- COMMAND`,
    });
  }
  const exec = execRequest(args.command, flags, readEnvironment(flags));
  return await runSession(context, { kind: "exec", vm: args.vm, exec });
};
