/** What it means that nobody answers at the daemon's socket. */
import { BangerError, type ErrorCode, errnoOf, messageOf } from "#base/error.ts";

/** An answer to a call that never came. */
export function fromSocket(error: unknown, socket: string): BangerError {
  const errno = errnoOf(error);
  if (errno === "ENOENT" || errno === "ECONNREFUSED") return notRunning(socket, error);
  if (errno === "ECONNRESET" || errno === "EPIPE") {
    return new BangerError("unavailable", "Cannot reach the daemon: it ended before it answered", {
      hint: "Try again: the next command starts it anew",
      cause: error,
    });
  }
  if (errno === "EACCES" || errno === "EPERM") {
    return new BangerError("permission_denied", `Cannot reach the daemon: no right to ${socket}`, {
      hint: "The socket belongs to the user who started the daemon",
      cause: error,
    });
  }
  const code: ErrorCode = error instanceof TypeError && !errno ? "internal" : "unavailable";
  return new BangerError(code, `Cannot reach the daemon: ${messageOf(error)}`, {
    hint: "See what it says with: banger daemon logs",
    cause: error,
  });
}

export function notRunning(socket: string, cause?: unknown): BangerError {
  return new BangerError("unavailable", `Cannot reach the daemon: nothing listens on ${socket}`, {
    hint: "Start it with: banger daemon start",
    cause,
  });
}
