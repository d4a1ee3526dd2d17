/** Detects a stalled transfer. */
import { onAbort } from "#base/abort.ts";
import { formatDuration } from "#base/duration.ts";
import { TransferError } from "./failure.ts";

/** How long a server may be silent. */
const STALL_TIMEOUT_MS = 30_000;
/** Fewer bytes than this within the time limit count as none: a drip must not keep a pull alive for ever. */
const PROGRESS_MIN_BYTES = 4096;

export interface Watchdog extends Disposable {
  /** Fires when the caller's signal fires, or when the transfer has stalled. */
  readonly signal: AbortSignal;
  /** Tells that bytes, or the head of an answer (`Infinity`), have arrived. */
  progress(bytes: number): void;
}

export function startWatchdog(options: {
  /** Where bytes come from, for messages: `from "example.com"`. */
  what: string;
  /** How long nothing may arrive. Default: 30 s. */
  timeout_ms?: number | undefined;
  signal?: AbortSignal | undefined;
}): Watchdog {
  const timeout_ms = options.timeout_ms ?? STALL_TIMEOUT_MS;
  const controller = new AbortController();
  let received = 0;
  function onStall(): void {
    controller.abort(
      new TransferError(
        "timeout",
        `Cannot read ${options.what}: no data received for ${formatDuration(timeout_ms)}`,
        { isTemporary: true, hint: "Run the same command again to resume" },
      ),
    );
  }
  const timer = setTimeout(onStall, timeout_ms);
  const caller = onAbort(options.signal, () => controller.abort(options.signal?.reason));
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
      caller[Symbol.dispose]();
    },
  };
}
