/** The daemon's process: lock, log, store, reconcile, socket; then it waits for a signal. */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "#base/error.ts";
import { settled } from "#base/stdio.ts";
import { version } from "#base/version.ts";
import { resolveConfig } from "#config/resolve.ts";
import { sweepStaging } from "#kernels/bundle.ts";
import { syncClocks, watchClock } from "#vm/life/clock.ts";
import { assertUsable, compose, type Services } from "./compose.ts";
import { makeRouter } from "./handlers/router.ts";
import { takeDaemonLock, tryStopWork } from "./lock.ts";
import { startLog } from "./log.ts";
import { makeNotifier } from "./notify.ts";
import { endOrphans } from "./orphans.ts";
import { listen } from "./serve/listener.ts";
import { makeMounts } from "./serve/mounts.ts";
import { PortDoor } from "./serve/port-door.ts";
import { Routes } from "./serve/routes.ts";
import { serve } from "./server.ts";
import { type KeptSocket, keepSocket } from "./socket.ts";
import { type Restart, Supervisor } from "./supervisor.ts";

/** Machines that take longer to take over are awaited by the calls that are about them. */
const RECOVERY_WAIT_MS = 500;

const log = getLogger(["banger", "daemon"]);

/** Throws what would keep the daemon from starting with the configuration as it is now. */
export async function checkDaemon(): Promise<void> {
  assertUsable(await resolveConfig());
}

/**
 * Runs until SIGTERM, SIGINT or a `shutdown` call. Throws when it cannot start. `restart`: where no service
 * manager brings it back after a crash.
 */
export async function runDaemon({ restart }: { restart?: Restart | undefined }): Promise<void> {
  const config = await resolveConfig();
  const { paths } = config;
  let kept: KeptSocket | undefined;
  // A client that finds the lock taken and nobody at the socket sends it.
  process.on("SIGHUP", () => kept?.restore());
  const lock = takeDaemonLock(paths.daemonLock);
  lock.publish({ socket: paths.socket });
  await startLog(config.values["log.level"], paths.daemonLog);
  const notifier = makeNotifier();
  const ending = Promise.withResolvers<string>();
  const services = compose(config, { shutdown: () => ending.resolve("asked to") });
  process.on("SIGTERM", () => ending.resolve("SIGTERM"));
  process.on("SIGINT", () => ending.resolve("SIGINT"));
  process.on("unhandledRejection", (error) => {
    log.error("unhandled rejection: {error}", {
      error: String(error),
      stack: (error as Error)?.stack,
    });
  });
  const supervisor =
    restart &&
    new Supervisor({ ...restart, paths, onChange: (pid) => lock.publish({ supervisor: pid }) });
  if (supervisor) void supervise(supervisor, services);
  await sweep(services);
  await services.network
    .resume((id) => services.vms.networking.policyOf(id))
    .catch((error) =>
      log.error("cannot restore the network: {message}", { message: messageOf(error) }),
    );
  const repair = services.vms
    .repair()
    .catch((error) => log.error("repair failed in part: {message}", { message: messageOf(error) }));
  void repair.then(() => services.sessions.resume());
  // What builds were in the middle of stood on images that only they knew of.
  void repair.then(() => services.images.sweep());
  await Promise.race([repair, Bun.sleep(RECOVERY_WAIT_MS)]);
  const router = makeRouter(services);
  const answering = { router, services, calls: services.calls };
  kept = await keepSocket({ paths, lock, serve: (socket) => serve({ socket, ...answering }) });
  const mounts = makeMounts({ services, router });
  const api = { services, router, mounts: mounts.all };
  const served = {
    ...api,
    routes: new Routes(api),
    ports: new PortDoor(services, mounts.trafficCaller),
    sockets: paths.serve,
  };
  await services.listeners.begin((options) => listen(served, options));
  await services.ui.resume();
  log.info("banger {version} listens on {socket}", {
    version: version.version,
    socket: paths.socket,
  });
  mounts.start();
  notifier.ready(`Listening on ${paths.socket}`);
  using _clock = watchClock(() => void syncClocks(services.vms));
  const why = await ending.promise;
  notifier.stopping("Stopped; machines keep running");
  log.info("ending: {why}", { why });
  await supervisor?.dismiss();
  mounts.stop();
  services.usage.stop();
  await services.listeners.stop();
  await kept.stop();
  // Calls that were under way are over with their connections; the programs that they ran need not be.
  using alone = tryStopWork(paths.workLock);
  if (alone) await endOrphans(paths.roots);
  await services.vms.endBackgroundWork();
  services.sessions.release();
  services.vms.release();
  await settled();
  process.exit(0);
}

/** From the start on, so that it also covers what the daemon does first. */
async function supervise(supervisor: Supervisor, { vms, isNeeded }: Services): Promise<void> {
  const events = vms.events(undefined);
  supervisor.update(isNeeded());
  for await (const _ of events) supervisor.update(isNeeded());
}

/** Before anything is under way: whatever is half made was left by a process that was killed. */
async function sweep({ config, images, templates }: Services): Promise<void> {
  const { roots, kernels, downloads, workLock } = config.paths;
  using alone = tryStopWork(workLock);
  if (!alone) {
    log.info("a foreground machine is being created: keeping partial files for now");
    return;
  }
  for (const command of await endOrphans(roots)) log.info("ended {command}", { command });
  for (const path of images.sweep()) log.info("removed stray {path}", { path });
  await Promise.all([kernels, downloads].map((dir) => sweepStaging(dir)));
  try {
    templates?.collect();
  } catch (error) {
    // Machines boot without them.
    log.warn("cannot clean up the templates: {message}", { message: messageOf(error) });
  }
}
