import type { ExecOpen } from "#api/exec.ts";
import type { Context } from "#cli/context.ts";
import { noteOther } from "#cli/daemon/other-version.ts";
import { type ExecConnection, type ExecOptions, openExec } from "#sdk/exec.ts";

/** A stream of a machine, until it ends or is interrupted. Starts the daemon if it does not answer. */
export function openStream(
  context: Context,
  open: ExecOpen,
  options: Pick<ExecOptions, "onStdout" | "onStderr" | "onProgress" | "onStarted" | "onHeld"> = {},
): ExecConnection {
  return openExec(context.paths.socket, open, {
    ...options,
    signal: context.interrupt.signal,
    onDaemon: (daemon) => noteOther(daemon, context.output.note),
    // A WebSocket does not tell why nobody answers; this asks in a way that does, before it starts one.
    async revive() {
      await context.daemon();
      return context.paths.socket;
    },
  });
}
