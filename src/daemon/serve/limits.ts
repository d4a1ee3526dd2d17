/** Limits for clients of the API on TCP. */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";

/** Limit of a request's body, unless a mount sets its own. */
export const REQUEST_MAX_BYTES = 8 * MiB;

/** Requests per second, and concurrent requests. */
export const TOKEN_RATE = { perSecond: 1000, burst: 2000 } as const;
export const STRANGER_RATE = { perSecond: 50, burst: 100 } as const;

interface Rate {
  perSecond: number;
  burst: number;
}

/** A token bucket. */
export class RateLimit {
  readonly #rate: Rate;
  #left: number;
  #at_ms: number;

  constructor(rate: Rate, now_ms = performance.now()) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#at_ms = now_ms;
  }

  /** False when there were too many. */
  take(now_ms = performance.now()): boolean {
    const { perSecond, burst } = this.#rate;
    this.#left = Math.min(burst, this.#left + ((now_ms - this.#at_ms) / 1000) * perSecond);
    this.#at_ms = now_ms;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}

/** The request with its body counted; reading more than `max_bytes` of it throws `limit_exceeded`. None comes after `signal`. */
export function withBodyLimit(request: Request, max_bytes: number, signal?: AbortSignal): Request {
  const { body } = request;
  if (!body) return request;
  const length = Number(request.headers.get("Content-Length") ?? 0);
  if (length > max_bytes) throw tooLarge(max_bytes);
  let count = 0;
  const counted = body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        count += chunk.length;
        if (signal?.aborted) controller.error(signal.reason);
        else if (count > max_bytes) controller.error(tooLarge(max_bytes));
        else controller.enqueue(chunk);
      },
    }),
  );
  return new Request(request, { body: counted, duplex: "half" } as RequestInit);
}

function tooLarge(max_bytes: number): BangerError {
  return new BangerError("limit_exceeded", `request body larger than ${max_bytes} bytes`);
}
