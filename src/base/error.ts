/**
 * The one error type. Every failure a user can meet is a BangerError with a code from this closed set,
 * a message and, where there is one, a hint.
 *
 * A message is one line without a final period:
 * - "Cannot <verb> <object>: <reason>" where a verb fits: `Cannot pull debian:bookworm: connection refused`.
 *   The reason is in lower case, as strerror(3) has it.
 * - Otherwise the fault, in lower case: `no such image "web"`, `unknown kernel feature "x"`,
 *   `invalid value for --memory: invalid size "lots"`, `conflicting options: --rm and --keep`.
 *
 * A hint is a sentence that begins with a capital, and has the command that fixes the problem:
 * `Stop it with: banger vm stop web`. A hint that is a command and nothing else stands alone.
 *
 * A plain Error that escapes is a bug of ours.
 */

/** `exit`: status of the CLI process; `retry`: the same call may succeed later; `http`: status on the socket. */
export const errorCodes = {
  internal: { exit: 1, retry: false, http: 500 },
  invalid_argument: { exit: 2, retry: false, http: 400 },
  not_found: { exit: 4, retry: false, http: 404 },
  already_exists: { exit: 5, retry: false, http: 409 },
  invalid_state: { exit: 6, retry: false, http: 409 },
  unavailable: { exit: 7, retry: true, http: 503 },
  timeout: { exit: 8, retry: true, http: 504 },
  permission_denied: { exit: 9, retry: false, http: 403 },
  unsupported: { exit: 10, retry: false, http: 501 },
  limit_exceeded: { exit: 11, retry: false, http: 413 },
  integrity: { exit: 12, retry: false, http: 422 },
  conflict: { exit: 13, retry: true, http: 409 },
  guest: { exit: 14, retry: false, http: 502 },
  unauthorized: { exit: 15, retry: false, http: 401 },
  no_space: { exit: 16, retry: false, http: 507 },
  /** As a shell has them. */
  command_not_executable: { exit: 126, retry: false, http: 422 },
  command_not_found: { exit: 127, retry: false, http: 422 },
  cancelled: { exit: 130, retry: false, http: 499 },
} as const satisfies Record<string, { exit: number; retry: boolean; http: number }>;

export type ErrorCode = keyof typeof errorCodes;

export interface BangerErrorOptions {
  /** How to fix it. */
  hint?: string | undefined;
  cause?: unknown;
}

export class BangerError extends Error {
  override readonly name = "BangerError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: BangerErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

export const CANCELLED_MESSAGE = "operation cancelled";

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(errorCodes, value);
}

/** The errno name ("ENOENT") of a system error, undefined for any other value. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

/** The text of whatever was thrown, for joining into a message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a path that the file system refuses ends in. */
const PATH_ERRNOS = ["ENAMETOOLONG", "ENOTDIR", "EISDIR", "ELOOP"];

/** Gives an unexpected error a code, keeping BangerErrors as they are. */
export function toBangerError(error: unknown): BangerError {
  if (error instanceof BangerError) return error;
  if (error instanceof Error && error.name === "AbortError") {
    return new BangerError("cancelled", CANCELLED_MESSAGE, { cause: error });
  }
  const errno = errnoOf(error);
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new BangerError("no_space", `no space left on the host's disk: ${messageOf(error)}`, {
      hint: "Free some space",
      cause: error,
    });
  }
  if (errno === "EACCES" || errno === "EPERM") {
    return new BangerError("permission_denied", messageOf(error), { cause: error });
  }
  if (errno && PATH_ERRNOS.includes(errno)) {
    return new BangerError("invalid_argument", messageOf(error), { cause: error });
  }
  if (errno === "EROFS") {
    return new BangerError("permission_denied", `read-only file system: ${messageOf(error)}`, {
      hint: "See why with: dmesg",
      cause: error,
    });
  }
  return new BangerError("internal", messageOf(error), { cause: error });
}
