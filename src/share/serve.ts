/**
 * The process that serves the shared directories of one machine, each on a unix socket. It outlives the daemon, so that
 * files stay open over a restart of that, and ends with its machine.
 */
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { BangerError, messageOf } from "#base/error.ts";
import { isRunning } from "#base/process-identity.ts";
import { tell } from "#base/stdio.ts";
import { type ShareConfig, shareConfig } from "./config.ts";
import { defaultLimits } from "./nodes.ts";
import { Share } from "./share.ts";
import { serveStream } from "./stream.ts";
import { Fault } from "./wire.ts";

/** How often it looks whether its machine is there. */
const LOOK_MS = 2000;

type ShareOptions = ShareConfig["shares"][number];

/** Until its machine has ended. */
export async function serveShares(configPath: string): Promise<void> {
  const config = readConfig(configPath);
  // Modes are as the machine gives them.
  process.umask(0);
  for (const options of config.shares) serveShare(options, config.shares.length);
  while (isRunning(config.machine)) await Bun.sleep(LOOK_MS);
}

function readConfig(path: string): ShareConfig {
  try {
    return shareConfig.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    const why = messageOf(cause);
    throw new BangerError("invalid_argument", `Cannot read "${path}": ${why}`, { cause });
  }
}

/** What goes wrong with one of them ends that one. */
function serveShare(options: ShareOptions, count: number): void {
  const { directory, isReadOnly, socket, failure } = options;
  const fail = (why: string): void => {
    tell(`The shared directory "${directory}" has failed: ${why}\n`);
    writeFileSync(failure, why, { mode: 0o600 });
  };
  let share: Share;
  try {
    share = new Share(directory, { isReadOnly, limits: defaultLimits(count) });
  } catch (error) {
    fail(error instanceof Fault ? `Cannot open it (errno ${error.errno})` : String(error));
    return;
  }
  let current: Socket | undefined;
  const server: Server = createServer((client) => {
    // The daemon that was there before is gone.
    current?.destroy();
    current = client;
    const end = (why: string): void => {
      server.close();
      rmSync(socket, { force: true });
      share[Symbol.dispose]();
      fail(why);
    };
    serveStream(
      client,
      (message) => share.answer(message),
      (error) => end(messageOf(error)),
    );
  });
  rmSync(socket, { force: true });
  // Nobody else gets into its directory before that.
  server.listen(socket, () => chmodSync(socket, 0o600));
}
