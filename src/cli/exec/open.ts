import type { ExecOpen } from "#api/exec.ts";
import type { Context } from "#cli/context.ts";
import { noteOther } from "#cli/daemon/other-version.ts";
import { type ExecConnection, type ExecOptions, openExec } from "#sdk/exec.ts";

/** A stream of a machine, until it ends or is interrupted. The daemon is started when nobody answers. */
export function openStream(
  { paths, interrupt, output }: Context,
  open: ExecOpen,
  options: Pick<ExecOptions, "onStdout" | "onStderr" | "onProgress"> = {},
): ExecConnection {
  const { signal } = interrupt;
  return openExec(paths.socket, open, {
    ...options,
    signal,
    onDaemon: (daemon) => noteOther(daemon, output.note),
    async revive() {
      const { startDaemon } = await import("#cli/daemon/start.ts");
      await startDaemon(paths, signal);
    },
  });
}
