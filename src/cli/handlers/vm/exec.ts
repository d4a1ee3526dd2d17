import type { ExecRequest } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import { readEnvironment } from "#cli/args/env.ts";
import type { Context, Handler } from "#cli/context.ts";
import { execRequest, runSession } from "#cli/exec/session.ts";
import type { Input } from "#cli/spec/types.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

type Spec = typeof vmCommands.commands.exec;

export const run: Handler<Spec> = async ({ args, flags }, context) => {
  if (args.command.length === 0) {
    throw new BangerError("invalid_argument", "missing argument: COMMAND", {
      hint: `Run: banger vm exec ${args.vm} -- COMMAND`,
    });
  }
  const exec = execRequest(args.command, flags, readEnvironment(flags));
  if (flags.detach) return await detach(context, args.vm, exec, flags);
  const { timeout, maxOutput } = flags;
  const limits = {
    timeout_ms: timeout,
    outputMax_bytes: maxOutput,
  };
  return await runSession(context, { kind: "exec", vm: args.vm, exec: { ...exec, ...limits } });
};

async function detach(
  { daemon, output, interrupt }: Context,
  vm: string,
  { argv, env, cwd, user, terminal }: ExecRequest,
  flags: Input<Spec>["flags"],
): Promise<number> {
  const refused = flags.interactive ? "-i" : flags.timeout ? "--timeout" : undefined;
  if (refused || flags.maxOutput !== undefined) {
    throw new BangerError(
      "invalid_argument",
      `conflicting options: ${refused ?? "--max-output"} and -d`,
    );
  }
  const client = await daemon();
  const session = await client.session.start(
    { vm, argv, env, cwd, user, terminal },
    { signal: interrupt.signal },
  );
  await output.document(session, () => session.name);
  return 0;
}
