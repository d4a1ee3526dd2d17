import type { Handler } from "#cli/context.ts";
import { sayWhenSlow } from "#cli/daemon/locate.ts";
import { startDaemon } from "#cli/daemon/start.ts";
import { daemonStatus } from "#cli/daemon/status.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.start;

export const run: Handler<Spec> = async (_, { paths, output, interrupt }) => {
  using _slow = sayWhenSlow(paths, output.note);
  const before = await daemonStatus(paths, interrupt.signal);
  const status = before ?? (await startDaemon(paths, interrupt.signal));
  await output.document(status, () =>
    output.quiet ? "" : `Daemon ${before ? "already running" : "started"} (PID ${status.pid})`,
  );
};
