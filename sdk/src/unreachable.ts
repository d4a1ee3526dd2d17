/** What it means that nobody answers at the daemon's socket. */
import { BangerError, type ErrorCode, errnoOf, messageOf } from "#base/error.ts";

/** An answer to a call that never came. */
export function fromSocket(error: unknown, socket: string): BangerError {
  const errno = errnoOf(error);
  if (errno === "ENOENT" || errno === "ECONNREFUSED") return notRunning(socket, error);
  if (errno === "ECONNRESET" || errno === "EPIPE") {
    return new BangerError(
      "unavailable",
      "Cannot connect to the daemon: it exited before answering",
      {
        hint: "Try again: the next command restarts it",
        cause: error,
      },
    );
  }
  if (errno === "EACCES" || errno === "EPERM") {
    return new BangerError(
      "permission_denied",
      `Cannot connect to the daemon: permission denied: ${socket}`,
      {
        hint: "The socket belongs to the user who started the daemon",
        cause: error,
      },
    );
  }
  const code: ErrorCode = error instanceof TypeError && !errno ? "internal" : "unavailable";
  return new BangerError(code, `Cannot connect to the daemon: ${messageOf(error)}`, {
    hint: "Check the log: banger daemon logs",
    cause: error,
  });
}

export function notRunning(socket: string, cause?: unknown): BangerError {
  return new BangerError(
    "unavailable",
    `Cannot connect to the daemon at ${socket}: is it running?`,
    {
      hint: "Start it with: banger daemon start",
      cause,
    },
  );
}
