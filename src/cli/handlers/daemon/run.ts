import type { Handler } from "#cli/context.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.run;

export const run: Handler<Spec> = async ({ flags }, { output }) => {
  if (flags.check) {
    const { checkDaemon } = await import("#daemon/main.ts");
    await checkDaemon();
    await output.document({ ok: true }, () => (output.quiet ? "" : "The configuration is good"));
    return;
  }
  // The daemon answers to signals in its own way.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
    process.removeAllListeners(signal);
  const { runDaemon } = await import("#daemon/main.ts");
  await runDaemon();
};
