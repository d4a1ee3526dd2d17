/** Network and HTTP failures as one error type that says whether a retry may help. */
import { BangerError, type ErrorCode } from "#base/error.ts";
import { safeLine } from "#base/printable.ts";
import { KiB } from "#base/size.ts";
import { readCapped } from "./body.ts";
import { proxyFor, shownProxy } from "./proxy.ts";

const MAX_ERROR_BODY_BYTES = 64 * KiB;
const MAX_DETAIL_CHARS = 200;

export interface FailureOptions {
  /** The same request may succeed in a moment. */
  isTemporary?: boolean;
  /** No connection came about. */
  isUnreachable?: boolean;
  status?: number;
  /** How long the server asks us to wait. */
  retryAfter_ms?: number | undefined;
  hint?: string | undefined;
  cause?: unknown;
}

export class TransferError extends BangerError {
  readonly isTemporary: boolean;
  readonly isUnreachable: boolean;
  readonly status: number | undefined;
  readonly retryAfter_ms: number | undefined;

  constructor(code: ErrorCode, message: string, options: FailureOptions = {}) {
    super(code, message, { hint: options.hint, cause: options.cause });
    this.isTemporary = options.isTemporary ?? false;
    this.isUnreachable = options.isUnreachable ?? false;
    this.status = options.status;
    this.retryAfter_ms = options.retryAfter_ms;
  }
}

export const PROXY_LOGIN_HINT =
  'Add the login to the proxy variable, "http://USER:PASSWORD@HOST:PORT", then: banger daemon restart';

export const NO_SUCH_HOST = "no such host";

/** No connection came about. `server`: as it is shown. */
export function unreachable(server: string, why: string, cause: unknown): TransferError {
  return new TransferError("unavailable", `Cannot reach ${server}: ${why}`, {
    isUnreachable: true,
    hint: "Check the host name, the network, and that the registry is running",
    cause,
  });
}

const temporaryStatuses: readonly number[] = [408, 425, 429, 500, 502, 503, 504];

/** The error for an answer that is not a success. Reads, and so ends, its body. */
export async function statusFailure(
  response: Response,
  options: {
    /** "pull docker.io/library/debian:bookworm" */
    action: string;
    host: string;
    hint?: string | undefined;
  },
): Promise<TransferError> {
  const { status } = response;
  const detail = await readDetail(response);
  const isTemporary = temporaryStatuses.includes(status);
  const retryAfter_ms = parseRetryAfter(response.headers.get("retry-after"));
  const code: ErrorCode =
    status === 401 || status === 403
      ? "unauthorized"
      : status === 404
        ? "not_found"
        : "unavailable";
  const proxy = URL.canParse(response.url) ? proxyFor(new URL(response.url)) : undefined;
  const isOfProxy = status === 407 && proxy !== undefined;
  const by = proxy ? ` through proxy ${shownProxy(proxy)}` : "";
  const server = isOfProxy ? `proxy ${shownProxy(proxy)}` : `"${options.host}"${by}`;
  const message = `Cannot ${options.action}: ${server} responded with ${status}${detail && `, ${detail}`}`;
  return new TransferError(code, message, {
    isTemporary,
    status,
    retryAfter_ms,
    hint: isOfProxy
      ? PROXY_LOGIN_HINT
      : (options.hint ??
        (status === 429 ? "Try again later, or log in for a higher rate limit" : undefined)),
  });
}

/** Milliseconds of a Retry-After header, which holds seconds or a date (RFC 9110, section 10.2.3). */
export function parseRetryAfter(value: string | null, now_ms = Date.now()): number | undefined {
  if (!value) return undefined;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now_ms);
}

/** The registry's own words: `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`. */
async function readDetail(response: Response): Promise<string> {
  try {
    const bytes = await readCapped(response, MAX_ERROR_BODY_BYTES);
    const body: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const first = asRecord(asArray(asRecord(body)["errors"])[0]);
    const words = [first["code"], first["message"]].filter((word) => typeof word === "string");
    return printable(words.join(": "));
  } catch {
    return "";
  }
}

/** A registry's words go to a terminal: no control characters, and not too many of them. */
function printable(text: string): string {
  return safeLine(text).trim().slice(0, MAX_DETAIL_CHARS);
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
