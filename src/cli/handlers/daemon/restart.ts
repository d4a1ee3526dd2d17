import type { Handler } from "#cli/context.ts";
import { startDaemon } from "#cli/daemon/start.ts";
import { daemonStatus, endDaemon } from "#cli/daemon/status.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.restart;

export const run: Handler<Spec> = async (_, { paths, output, interrupt }) => {
  await endDaemon(paths, interrupt.signal);
  await startDaemon(paths);
  const status = await daemonStatus(paths);
  await output.document(status, () => (output.quiet ? "" : `The daemon runs, pid ${status?.pid}`));
};
