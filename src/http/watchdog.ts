/** Notices a transfer that has stopped moving, however slowly it does so. */
import { formatDuration } from "#base/duration.ts";
import { TransferError } from "./failure.ts";

/** Fewer bytes than this within the time limit count as none: a drip must not keep a pull alive for ever. */
const PROGRESS_MIN_BYTES = 4096;

export interface Watchdog extends Disposable {
  /** Fires when the caller's signal fires, or when the transfer has stalled. */
  readonly signal: AbortSignal;
  /** Tells that bytes, or the head of an answer (`Infinity`), have arrived. */
  progress(bytes: number): void;
}

export function startWatchdog(
  timeout_ms: number,
  options: { what: string; signal?: AbortSignal | undefined },
): Watchdog {
  const controller = new AbortController();
  let received = 0;
  function onStall(): void {
    controller.abort(
      new TransferError(
        "timeout",
        `Cannot read ${options.what}: nothing arrived for ${formatDuration(timeout_ms)}`,
        { isTemporary: true, hint: "Run the same command again: it goes on where it stopped" },
      ),
    );
  }
  function onAbort(): void {
    controller.abort(options.signal?.reason);
  }
  const timer = setTimeout(onStall, timeout_ms);
  if (options.signal?.aborted) onAbort();
  options.signal?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    progress(bytes) {
      received += bytes;
      if (received < PROGRESS_MIN_BYTES) return;
      received = 0;
      timer.refresh();
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    },
  };
}
