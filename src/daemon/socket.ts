/** The daemon's socket, recreated when its file or directory was removed. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { messageOf } from "#base/error.ts";
import type { Paths } from "#config/paths.ts";
import type { DaemonLock } from "./lock.ts";
import type { RunningServer } from "./server.ts";

const log = getLogger(["banger", "daemon"]);

export interface KeptSocket {
  /** Makes it anew where it is lost, or below the state folder where that is impossible. */
  restore(): void;
  stop(): Promise<void>;
}

interface KeepOptions {
  paths: Paths;
  lock: DaemonLock;
  serve: (socket: string) => Promise<RunningServer>;
}

export async function keepSocket({ paths, lock, serve }: KeepOptions): Promise<KeptSocket> {
  // One that lost its file goes on for the clients that it has.
  const servers: RunningServer[] = [];
  let known: string | undefined;
  let work: Promise<void> | undefined;
  let isEnding = false;

  async function listen(socket: string): Promise<void> {
    servers.push(await serve(socket));
    known = identity(socket);
  }
  async function renew(): Promise<void> {
    if (isEnding || identity(paths.socket) === known) return;
    log.warn("{socket} was removed; listening again", { socket: paths.socket });
    try {
      await listen(paths.socket);
    } catch (error) {
      // Such as /run/user/1000, which logind removes and nobody else may make.
      paths.roots.runtime = join(paths.roots.state, "run");
      paths.socket = join(paths.roots.runtime, "daemon.sock");
      log.warn("{message}; listening on {socket}", {
        message: messageOf(error),
        socket: paths.socket,
      });
      await listen(paths.socket);
      lock.publish({ socket: paths.socket });
    }
  }

  await listen(paths.socket);
  return {
    restore() {
      work ??= renew()
        .catch((error) => log.error("cannot listen: {message}", { message: messageOf(error) }))
        .finally(() => {
          work = undefined;
        });
    },
    async stop() {
      isEnding = true;
      await work;
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

/** Of the socket's file: another one in its place is not ours. */
function identity(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
