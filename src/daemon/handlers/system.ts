/** Procedures for the daemon itself. */
import { version } from "#base/version.ts";
import { debugBundle } from "#daemon/debug.ts";
import { seenEvents } from "#daemon/serve/authorize.ts";
import type { Base } from "./base.ts";

export function systemHandlers({ os, services }: Base) {
  const { vms } = services;
  return {
    status: os.system.status.handler(() => ({
      ...version,
      pid: process.pid,
      startedAt: services.startedAt,
      stateDir: services.config.paths.roots.state,
      machinesRunning: vms.list().filter(({ state }) => state === "running").length,
      rss_bytes: process.memoryUsage.rss(),
      serving: services.listeners.list().map(({ url }) => url),
    })),
    shutdown: os.system.shutdown.handler(() => {
      setTimeout(services.shutdown, 20);
      return {};
    }),
    repair: os.system.repair.handler(async ({ input }) => {
      const isDryRun = input.dryRun ?? false;
      if (!isDryRun) await services.network.resume((id) => vms.networking.policyOf(id));
      return await vms.repair({ isDryRun });
    }),
    events: os.system.events.handler(({ signal, context: { caller } }) =>
      seenEvents(services, caller, vms.events(signal)),
    ),
    debug: os.system.debug.handler(() => debugBundle(services)),
  };
}
