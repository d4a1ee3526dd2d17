import type { Handler } from "#cli/context.ts";
import { endDaemon } from "#cli/daemon/end.ts";
import { sayWhenSlow } from "#cli/daemon/locate.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.stop;

export const run: Handler<Spec> = async (_, { paths, output, interrupt }) => {
  using _slow = sayWhenSlow(paths, output.note);
  const ended = await endDaemon(paths, interrupt.signal);
  await output.document({ stopped: ended !== undefined }, () => {
    if (output.quiet) return "";
    if (!ended) return "No daemon runs";
    const count = ended.status?.machinesRunning ?? 0;
    const machines = count === 1 ? "1 machine runs" : `${count} machines run`;
    return `The daemon has ended${count > 0 ? `; ${machines} on` : ""}`;
  });
};
