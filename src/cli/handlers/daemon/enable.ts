import { assertUnchangeable } from "#base/files/trusted-path.ts";
import { selfCommand } from "#base/self-command.ts";
import { writeOut } from "#base/stdio.ts";
import type { Handler } from "#cli/context.ts";
import { endDaemon } from "#cli/daemon/end.ts";
import { assertSystemd, enableUnit, unitOf, unitText } from "#cli/daemon/unit.ts";
import type { root } from "#cli/spec/root.ts";

type Spec = typeof root.commands.daemon.commands.enable;

export const run: Handler<Spec> = async ({ flags }, { paths, output, interrupt }) => {
  const program = selfCommand();
  if (flags.print) return await writeOut(unitText(program));
  assertSystemd();
  if (process.getuid?.() === 0) assertUnchangeable(program, "daemon enable");
  // One that was started by hand would be in the way of systemd's.
  await endDaemon(paths, interrupt.signal);
  for (const note of await enableUnit(paths, program)) output.note(note);
  const { path } = unitOf(paths);
  await output.document({ unit: path }, () =>
    output.quiet ? "" : `Enabled: the daemon is running and starts at boot (${path})`,
  );
};
