/**
 * Signal handling: the first ^C cancels the work, a second one exits at once. A command that runs in a machine takes
 * the signals over and forwards them.
 */
import { constants } from "node:os";
import { BangerError } from "#base/error.ts";

export const FORWARDED_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
export type ForwardedSignal = (typeof FORWARDED_SIGNALS)[number];

export interface Interrupt {
  /** Fires with the reason, a `cancelled` error. */
  readonly signal: AbortSignal;
  /** The signal that was received, for the exit status. */
  readonly received: ForwardedSignal | undefined;
  /** From now on `handler` gets the signals, until it is disposed of. */
  takeOver(handler: (signal: ForwardedSignal) => void): Disposable;
}

export function watchInterrupts(): Interrupt {
  const controller = new AbortController();
  let received: ForwardedSignal | undefined;
  let handler = cancel;

  function cancel(signal: ForwardedSignal): void {
    if (received) process.exit(exitStatusOf(signal));
    received = signal;
    controller.abort(new BangerError("cancelled", "cancelled"));
  }
  for (const signal of FORWARDED_SIGNALS) process.on(signal, () => handler(signal));
  return {
    signal: controller.signal,
    get received() {
      return received;
    },
    takeOver(other) {
      handler = other;
      return {
        [Symbol.dispose]() {
          handler = cancel;
        },
      };
    },
  };
}

/** 128 + n, as a shell has it for a process that signal n ended; `name` with or without "SIG". */
export function exitStatusOf(name: string): number {
  const full = name.startsWith("SIG") ? name : `SIG${name}`;
  const number = Object.entries(constants.signals).find(([each]) => each === full)?.[1];
  return 128 + (number ?? 0);
}
