import { BangerError } from "#base/error.ts";
import { run as runProgram } from "#base/run.ts";
import { selfCommand } from "#base/self-command.ts";
import type { Handler } from "#cli/context.ts";
import { endDaemon } from "#cli/daemon/end.ts";
import { sayWhenSlow } from "#cli/daemon/locate.ts";
import { startDaemon } from "#cli/daemon/start.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.restart;

export const run: Handler<Spec> = async (_, { paths, output, interrupt }) => {
  await assertStarts(interrupt.signal);
  using _slow = sayWhenSlow(paths, output.note);
  await endDaemon(paths, interrupt.signal);
  const status = await startDaemon(paths, interrupt.signal);
  await output.document(status, () => (output.quiet ? "" : `Daemon restarted (PID ${status.pid})`));
};

/** One that runs well is not ended for one that cannot start. */
async function assertStarts(signal: AbortSignal): Promise<void> {
  const words = [...selfCommand(), "daemon", "run", "--check"];
  const { exitCode, stderr } = await runProgram(words, { env: { NO_COLOR: "1" }, signal });
  if (exitCode === 0) return;
  const [problem = "", hint] = stderr.trim().split("\nhint: ");
  throw new BangerError(
    "invalid_argument",
    `Cannot restart the daemon: ${problem.replace(/^error: /, "")}`,
    { hint },
  );
}
