import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import { endDaemon } from "#cli/daemon/end.ts";
import { sayWhenSlow } from "#cli/daemon/locate.ts";
import { portText } from "#cli/print/network.ts";
import type { root } from "#cli/spec/root.ts";
import type { Paths } from "#config/paths.ts";
import { connect } from "#sdk/client.ts";

type Spec = typeof root.commands.daemon.commands.stop;

const LIST_TIMEOUT_MS = 3_000;

export const run: Handler<Spec> = async (_, { paths, output, interrupt }) => {
  using _slow = sayWhenSlow(paths, output.note);
  const published = await publishedPorts(paths, interrupt.signal);
  const ended = await endDaemon(paths, interrupt.signal);
  if (ended && published.length > 0) {
    output.note(`Published ports are closed while the daemon is stopped: ${published.join(", ")}`);
    output.note(
      "Reopen them with: banger daemon start; to start the daemon at boot: banger daemon enable",
    );
  }
  await output.document({ stopped: ended !== undefined }, () => {
    if (output.quiet) return "";
    if (!ended) return "Daemon not running";
    const count = ended.status?.machinesRunning ?? 0;
    const machines = count === 1 ? "1 machine runs" : `${count} machines run`;
    return `The daemon has ended${count > 0 ? `; ${machines} on` : ""}`;
  });
};

/** The daemon listens on them itself. None when it does not answer: it is ended all the same. */
async function publishedPorts(paths: Paths, signal: AbortSignal): Promise<string[]> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(LIST_TIMEOUT_MS)]);
  let machines: Vm[];
  try {
    machines = await connect({ socket: paths.socket }).vm.list(undefined, { signal: limited });
  } catch (error) {
    const isSilent = limited.aborted && !signal.aborted;
    if (isSilent || error instanceof BangerError) return [];
    throw error;
  }
  const open = machines.filter(({ state }) => /^(running|paused|suspended)$/.test(state));
  return open.flatMap(({ name, network }) =>
    (network.ports ?? []).map((port) => `${name} ${portText(port)}`),
  );
}
