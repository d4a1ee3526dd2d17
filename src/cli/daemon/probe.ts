import { connect } from "node:net";
import { BangerError, errnoOf } from "#base/error.ts";

/** Whether the failure of a call means that there is no daemon, and one can be started. */
export function isDaemonDown(error: unknown): boolean {
  if (!(error instanceof BangerError) || error.code !== "unavailable") return false;
  const errno = errnoOf(error.cause);
  return errno === "ENOENT" || errno === "ECONNREFUSED";
}

/** Whether somebody answers on a unix socket. */
export function isListening(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}
