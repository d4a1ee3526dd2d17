import { formatSize } from "#base/size.ts";
import type { Handler } from "#cli/context.ts";
import { locate, sayWhenSlow, wake } from "#cli/daemon/locate.ts";
import { daemonStatus } from "#cli/daemon/status.ts";
import { ago } from "#cli/print/ago.ts";
import { pairs } from "#cli/print/table.ts";
import type { root } from "#cli/spec/root.ts";
import type { Paths } from "#config/paths.ts";
import { notRunning } from "#sdk/unreachable.ts";

type Spec = typeof root.commands.daemon.commands.status;

export const run: Handler<Spec> = async (_, { paths, output, interrupt }) => {
  using _slow = sayWhenSlow(paths, output.note);
  const status =
    (await daemonStatus(paths, interrupt.signal)) ?? (await revived(paths, interrupt.signal));
  if (!status) throw notRunning(paths.socket);
  await output.document(status, () =>
    pairs([
      ["Pid", String(status.pid)],
      ["Version", `${status.version} (commit ${status.commit}, built ${status.builtAt})`],
      ["Started", `${status.startedAt} (${ago(status.startedAt)})`],
      ["Machines", `${status.machinesRunning} running`],
      ["Memory", formatSize(status.rss_bytes)],
      ["State", status.stateDir],
      ["Socket", paths.socket],
      ["API", status.serving?.join(", ") || "on the socket only"],
      ["Log", paths.daemonLog],
    ]),
  );
};

/** One that runs without its socket. */
async function revived(paths: Paths, signal: AbortSignal) {
  const holder = locate(paths);
  return holder && (await wake(paths, holder, signal));
}
