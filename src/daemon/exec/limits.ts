/** Limits on how long a command may run and how much it may print. */
import type { ExecRequest } from "#api/exec.ts";
import { formatDuration } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";
import { formatSize } from "#base/size.ts";
import type { ExecStream } from "#guest/exec.ts";

/** From being asked to end to being ended. */
const GRACE_MS = 2000;

export interface ExecLimits extends Disposable {
  /** What of the chunk is still allowed. */
  pass(chunk: Uint8Array): Uint8Array;
  /** Why the command was ended, if it was. */
  readonly failure: BangerError | undefined;
}

/** Ends the command with SIGTERM, and then for good, when it goes beyond what was asked for. */
export function limitExec(
  stream: ExecStream,
  { argv, timeout_ms, outputMax_bytes }: ExecRequest,
): ExecLimits {
  const name = argv[0] ?? "The command";
  let left = outputMax_bytes ?? Number.POSITIVE_INFINITY;
  let failure: BangerError | undefined;
  let grace: ReturnType<typeof setTimeout> | undefined;

  function end(error: BangerError): void {
    if (failure) return;
    failure = error;
    stream.signal("TERM");
    grace = setTimeout(() => stream.close(), GRACE_MS);
  }
  const timer =
    timeout_ms === undefined
      ? undefined
      : setTimeout(
          () =>
            end(
              new BangerError("timeout", `"${name}" timed out after ${formatDuration(timeout_ms)}`),
            ),
          timeout_ms,
        );
  return {
    pass(chunk) {
      const allowed = chunk.subarray(0, left);
      left -= allowed.length;
      if (allowed.length < chunk.length) {
        const most = formatSize(outputMax_bytes ?? 0);
        end(new BangerError("limit_exceeded", `"${name}" printed more than ${most}`));
        // Nobody else grants what is not passed on, and its last words must not keep it from ending.
        stream.grant(chunk.length - allowed.length);
      }
      return allowed;
    },
    get failure() {
      return failure;
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      clearTimeout(grace);
    },
  };
}
