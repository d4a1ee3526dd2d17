/** The daemon's process: lock, log, store, reconcile, socket; then it waits for a signal. */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "#base/error.ts";
import { version } from "#base/version.ts";
import { resolveConfig } from "#config/resolve.ts";
import { sweepStaging } from "#kernels/bundle.ts";
import { compose } from "./compose.ts";
import { makeRouter } from "./handlers/router.ts";
import { takeDaemonLock } from "./lock.ts";
import { startLog } from "./log.ts";
import { endOrphans } from "./orphans.ts";
import { serve } from "./server.ts";

/** Machines that take longer to take over are awaited by the calls that are about them. */
const RECOVERY_WAIT_MS = 500;

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
  for (const command of await endOrphans(config.paths.roots))
    log.info("ended {command}", { command });
  for (const path of services.images.sweep()) log.info("removed stray {path}", { path });
  // Nothing is under way yet: whatever is half made was left by a daemon that was killed.
  await Promise.all([config.paths.kernels, config.paths.downloads].map((dir) => sweepStaging(dir)));
  await services.network
    .resume((id) => services.vms.networking.policyOf(id))
    .catch((error) =>
      log.error("cannot put the network back: {message}", { message: messageOf(error) }),
    );
  const repair = services.vms
    .repair()
    .catch((error) =>
      log.error("cannot repair everything: {message}", { message: messageOf(error) }),
    );
  await Promise.race([repair, Bun.sleep(RECOVERY_WAIT_MS)]);
  const server = await serve({
    socket: config.paths.socket,
    router: makeRouter(services),
    services,
    calls: services.calls,
  });
  log.info("banger {version} listens on {socket}", {
    version: version.version,
    socket: config.paths.socket,
  });
  const why = await ending.promise;
  log.info("ending: {why}", { why });
  await server.stop();
  // Calls that were under way are over with their connections; the programs that they ran need not be.
  await endOrphans(config.paths.roots);
  services.vms.release();
  process.exit(0);
}
