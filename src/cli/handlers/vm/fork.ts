import type { VmForked } from "#api/snapshot.ts";
import { parsePort } from "#cli/args/ports.ts";
import type { Handler } from "#cli/context.ts";
import { pauseText } from "#cli/print/snapshots.ts";
import { follow } from "#cli/progress/follow.ts";
import type { copyCommands } from "#cli/spec/vm-snapshot.ts";

export const run: Handler<typeof copyCommands.fork> = async ({ args, flags }, context) => {
  const { count, name: pattern, publish } = flags;
  const ports = publish.length === 0 ? undefined : publish.map(parsePort);
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const forked = await follow<VmForked>(context, () =>
    client.vm.fork({ name: args.vm, count, pattern, ports }, { signal }),
  );
  await context.output.document(forked, () => forked.machines.map(({ name }) => name).join("\n"));
  context.output.note(pauseText(args.vm, forked.pause_ms));
};
