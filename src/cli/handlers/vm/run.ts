import { BangerError } from "#base/error.ts";
import { createRequest } from "#cli/args/create.ts";
import { readEnvironment } from "#cli/args/env.ts";
import type { Handler } from "#cli/context.ts";
import { execRequest, runSession } from "#cli/exec/session.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.run> = async ({ args, flags }, context) => {
  if (flags.rm && flags.keep) {
    throw new BangerError("invalid_argument", "Cannot use --rm: --keep says otherwise");
  }
  const { entrypoint } = flags;
  // The command's own environment; the machine's would outlive it.
  const exec = execRequest(args.command, flags, readEnvironment(flags));
  const create = createRequest(args.image, flags, { env: [], envFile: [] });
  return await runSession(context, {
    kind: "run",
    create,
    exec,
    ...(entrypoint === undefined ? {} : { entrypoint: entrypoint === "" ? [] : [entrypoint] }),
    ...(flags.keep ? { keep: true } : {}),
  });
};
