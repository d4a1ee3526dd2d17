import type { Handler } from "#cli/context.ts";
import { followLines } from "#cli/daemon/follow-log.ts";
import { formatLogLine, lastLines, sizeOf } from "#cli/daemon/log-lines.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.logs;

export const run: Handler<Spec> = async ({ flags }, { paths, output, interrupt }) => {
  const path = paths.daemonLog;
  const print = (line: string) => output.item(documentOf(line), formatLogLine(line));
  const from = sizeOf(path);
  for (const line of lastLines(path, flags.tail ?? Number.MAX_SAFE_INTEGER)) await print(line);
  if (!flags.follow) return;
  for await (const line of followLines(path, { from, signal: interrupt.signal })) await print(line);
};

/** A line is a document already, but for what the daemon said before its log was set up. */
function documentOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return { message: line };
  }
}
