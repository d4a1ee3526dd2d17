import type { Handler } from "#cli/context.ts";
import { startDaemon } from "#cli/daemon/start.ts";
import { endDaemon } from "#cli/daemon/status.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.restart;

export const run: Handler<Spec> = async (_, { paths, output, interrupt }) => {
  await endDaemon(paths, interrupt.signal);
  const status = await startDaemon(paths, interrupt.signal);
  await output.document(status, () => (output.quiet ? "" : `The daemon runs, pid ${status.pid}`));
};
