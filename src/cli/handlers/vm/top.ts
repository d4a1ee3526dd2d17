import type { VmProcess } from "#api/inside.ts";
import type { Handler } from "#cli/context.ts";
import { watchKeys } from "#cli/print/keys.ts";
import { openScreen } from "#cli/print/screen.ts";
import { processTable } from "#cli/print/stats.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

const INTERVAL_MS = 2000;
/** For the first shares of the CPU. */
const FIRST_INTERVAL_MS = 500;

interface Look {
  processes: VmProcess[];
  at_ms: number;
}

export const run: Handler<typeof vmCommands.commands.top> = async ({ args, flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const { signal } = interrupt;
  const look = async (): Promise<Look> => {
    const processes = await client.inside.processes({ name: args.vm }, { signal });
    return { processes, at_ms: performance.now() };
  };
  let before = await look();
  if (output.json && flags.noStream) return await output.document(before.processes, () => "");
  using screen = output.json ? undefined : openScreen();
  using keys = watchKeys({ isPicture: screen !== undefined });
  for (let round = 0; ; round++) {
    const wait_ms = round === 0 ? FIRST_INTERVAL_MS : (flags.interval ?? INTERVAL_MS);
    if (await keys.pause(wait_ms, signal)) return;
    const now = await look();
    if (screen)
      await screen.draw(processTable(now.processes, before.processes, now.at_ms - before.at_ms));
    else await output.item(now.processes, "");
    if (flags.noStream) return;
    before = now;
  }
};
