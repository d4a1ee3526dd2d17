import type { VmStats } from "#api/inside.ts";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import { watchKeys } from "#cli/print/keys.ts";
import { openScreen } from "#cli/print/screen.ts";
import { statsTable } from "#cli/print/stats.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import type { Client } from "#sdk/client.ts";

const INTERVAL_MS = 2000;
/** For what is only a rate, with --no-stream. */
const FIRST_INTERVAL_MS = 75;

export const run: Handler<typeof vmCommands.commands.stats> = async ({ args, flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const look = () => statsOf(client, args.vms, interrupt.signal);
  if (output.json && flags.noStream) return await output.document(await look(), () => "");
  using screen = output.json ? undefined : openScreen();
  using keys = watchKeys({ isPicture: screen !== undefined && !flags.noStream });
  let before: VmStats[] = [];
  for (let round = 0; ; round++) {
    const now = await look();
    if (!screen) await output.item(now, "");
    else if (!flags.noStream || round > 0) await screen.draw(statsTable(now, before));
    if (flags.noStream && round > 0) return;
    before = now;
    const wait_ms = flags.noStream ? FIRST_INTERVAL_MS : (flags.interval ?? INTERVAL_MS);
    if (await keys.pause(wait_ms, interrupt.signal)) return;
  }
};

/** Those that are named must answer; of all the others, those that do. */
async function statsOf(
  client: Client,
  names: readonly string[],
  signal: AbortSignal,
): Promise<VmStats[]> {
  const wanted =
    names.length > 0
      ? names
      : (await client.vm.list(undefined, { signal }))
          .filter(({ state }) => state === "running")
          .map(({ name }) => name);
  const answers = await Promise.allSettled(
    wanted.map((name) => client.inside.stats({ name }, { signal })),
  );
  return answers.flatMap((answer) => {
    if (answer.status === "fulfilled") return [answer.value];
    const isOver = answer.reason instanceof BangerError && answer.reason.code === "cancelled";
    if (names.length > 0 || isOver) throw answer.reason;
    return [];
  });
}
