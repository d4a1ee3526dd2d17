/** Entries of a guest's archive: names split into parts, and errors for those that cannot be extracted. */
import { BangerError, type ErrorCode, errnoOf } from "#base/error.ts";
import { markControls } from "#base/printable.ts";
import type { TarEntry } from "#tar/entry.ts";

/** Without what means nothing; ".." is refused, and a leading slash is the folder. */
export function partsOf(name: Uint8Array): string[] {
  const parts = Buffer.from(name)
    .toString("latin1")
    .split("/")
    .filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refused(`${shown(name)} leaves the directory`);
  if (parts.some((part) => part.includes("\0"))) throw refused("a name holds NUL");
  return parts;
}

export function timeOf(entry: TarEntry): number {
  return entry.mtime_s + entry.mtime_ns / 1e9;
}

export function attempt<T>(entry: TarEntry, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw failed(shown(entry.name), error);
  }
}

export function shown(name: Uint8Array): string {
  return `"${printable(Buffer.from(name).toString("utf8"))}"`;
}

export function printable(text: string): string {
  return markControls(text.slice(0, 200));
}

export function refused(detail: string): BangerError {
  return new BangerError("invalid_argument", `Cannot extract the guest's archive: ${detail}`);
}

export function tooMuch(detail: string): BangerError {
  return new BangerError("limit_exceeded", `Cannot extract the guest's archive: it has ${detail}`);
}

const codes: Readonly<Record<string, ErrorCode>> = {
  EACCES: "permission_denied",
  EPERM: "permission_denied",
  ENOENT: "not_found",
  ENOSPC: "no_space",
  EDQUOT: "no_space",
  EISDIR: "invalid_argument",
  EFBIG: "limit_exceeded",
};

export function failed(name: string, error: unknown): BangerError {
  const errno = errnoOf(error) ?? "unknown";
  return new BangerError(
    codes[errno] ?? "internal",
    `Cannot extract ${name} of the guest's archive: ${errno}`,
    { cause: error },
  );
}
