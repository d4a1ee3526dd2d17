import type { Handler } from "#cli/context.ts";
import type { eventsCommand } from "#cli/spec/daemon.ts";

export const run: Handler<typeof eventsCommand> = async (_, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const events = await client.system.events(undefined, { signal: interrupt.signal });
  for await (const event of events) {
    const how = event.exit ? ` (${event.exit.reason})` : "";
    await output.item(event, `${event.at} ${event.name} ${event.state}${how}`);
  }
};
