import { selfCommand } from "#base/self-command.ts";
import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.run;

export const run: Handler<Spec> = async ({ flags }, { output, programs }) => {
  if (flags.check) {
    const { checkDaemon } = await programs.daemon();
    await checkDaemon();
    await output.document({ ok: true }, () => (output.quiet ? "" : "Configuration OK"));
    return;
  }
  // The daemon answers to signals in its own way.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
    process.removeAllListeners(signal);
  const { runDaemon } = await programs.daemon();
  const { restarts } = flags;
  const command = [...selfCommand(), "daemon", "run"];
  await runDaemon({ restart: restarts === undefined ? undefined : { command, restarts } });
};
