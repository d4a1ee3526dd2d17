/** The daemon's process: lock, log, store, reconcile, socket; then it waits for a signal. */
import { getLogger } from "@logtape/logtape";
import { version } from "#base/version.ts";
import { resolveConfig } from "#config/resolve.ts";
import { compose } from "./compose.ts";
import { makeRouter } from "./handlers.ts";
import { takeDaemonLock } from "./lock.ts";
import { startLog } from "./log.ts";
import { serve } from "./server.ts";

const log = getLogger(["banger", "daemon"]);

/** Runs until SIGTERM, SIGINT or a `shutdown` call. Throws when it cannot start. */
export async function runDaemon(): Promise<void> {
  const config = await resolveConfig();
  takeDaemonLock(config.paths.daemonLock);
  await startLog(config.values["log.level"]);
  const ending = Promise.withResolvers<string>();
  const services = compose(config, () => ending.resolve("asked to"));
  process.on("SIGTERM", () => ending.resolve("SIGTERM"));
  process.on("SIGINT", () => ending.resolve("SIGINT"));
  process.on("SIGHUP", () => {});
  process.on("unhandledRejection", (error) => {
    log.error("unhandled rejection: {error}", {
      error: String(error),
      stack: (error as Error)?.stack,
    });
  });
  for (const path of services.images.sweep()) log.info("removed stray {path}", { path });
  await services.vms.reconcile();
  const server = await serve({
    socket: config.paths.socket,
    router: makeRouter(services),
    vms: services.vms,
  });
  log.info("banger {version} listens on {socket}", {
    version: version.version,
    socket: config.paths.socket,
  });
  const why = await ending.promise;
  log.info("ending: {why}", { why });
  await server.stop();
  services.vms.release();
  process.exit(0);
}
