/** SQLite's errors while the store is open, as banger's own. */
import { BangerError, messageOf } from "#base/error.ts";

/** Undefined for any other error. */
export function storeFailure(cause: unknown): BangerError | undefined {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (/^SQLITE_(BUSY|LOCKED)/.test(code)) {
    return new BangerError("unavailable", "database is locked by another process", {
      hint: "Find the process with: fuser -v ~/.local/state/banger/banger.db",
      cause,
    });
  }
  if (/^SQLITE_FULL/.test(code)) {
    return new BangerError(
      "no_space",
      "no space left on the host's disk: cannot write the database",
      {
        hint: "Free disk space and try again; nothing was changed",
        cause,
      },
    );
  }
  if (/^SQLITE_READONLY/.test(code)) {
    return new BangerError("permission_denied", "database is read-only", {
      cause,
    });
  }
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    return new BangerError("integrity", `database is corrupt: ${messageOf(cause)}`, {
      hint: "Stop the daemon, move banger.db away (see docs/home.md), and start again",
      cause,
    });
  }
  return undefined;
}
