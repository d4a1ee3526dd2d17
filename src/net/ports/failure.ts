/** Explains why a host port cannot be bound, with a hint. */
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { hostEnd, type PublishedPort } from "./spec.ts";

/** `conflict` for a port that is taken; `permission_denied`, `invalid_argument` for the other usual reasons. */
export function listenError(port: PublishedPort, cause: unknown): BangerError {
  const what = `Cannot publish ${hostEnd(port)}`;
  const flag = port.protocol === "tcp" ? "-ltnp" : "-lunp";
  switch (errnoOf(cause)) {
    case "EADDRINUSE":
      return new BangerError("conflict", `${what}: port already in use`, {
        hint: `Find the process with: sudo ss ${flag} "sport = :${port.hostPort}"`,
        cause,
      });
    case "EACCES":
    case "EPERM":
      return new BangerError(
        "permission_denied",
        `${what}: permission denied for a privileged port`,
        {
          hint: "Use port 1024 or higher",
          cause,
        },
      );
    case "EADDRNOTAVAIL":
      return new BangerError(
        "invalid_argument",
        `${what}: the host has no address "${port.hostAddress}"`,
        { hint: "List the host's addresses with: ip -br addr", cause },
      );
    default:
      return new BangerError("internal", `${what}: ${messageOf(cause)}`, { cause });
  }
}
