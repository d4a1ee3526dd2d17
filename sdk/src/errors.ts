/** What a call can fail with, as the one error type that callers know. */
import { ORPCError } from "@orpc/client";
import { cancelled } from "#base/abort.ts";
import { BangerError, errorCodes, isErrorCode } from "#base/error.ts";
import { fromSocket } from "./unreachable.ts";

interface Situation {
  socket: string;
  signal?: AbortSignal | undefined;
}

export function fromRpc(error: unknown, { socket, signal }: Situation): BangerError {
  if (error instanceof BangerError) return error;
  if (signal?.aborted) {
    if (signal.reason instanceof BangerError) return signal.reason;
    return cancelled(error);
  }
  if (error instanceof ORPCError) return fromAnswer(error);
  return fromSocket(error, socket);
}

/** The daemon's own answer: one of our codes, or one of the RPC layer's. */
function fromAnswer(error: ORPCError<string, unknown>): BangerError {
  const { code, message, status } = error;
  const options = { hint: textOf(error.data, "hint"), cause: error };
  if (isErrorCode(code)) return new BangerError(code, message, options);
  if (code === "NOT_FOUND") {
    return new BangerError(
      "unsupported",
      "Cannot run the command: the daemon does not support it",
      {
        hint: "The daemon may be an older version; restart it with: banger daemon restart",
        cause: error,
      },
    );
  }
  const same = Object.entries(errorCodes).find(([, { http }]) => http === status)?.[0];
  return new BangerError(isErrorCode(same) ? same : "internal", message, options);
}

function textOf(data: unknown, key: string): string | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const value: unknown = Reflect.get(data, key);
  return typeof value === "string" ? value : undefined;
}
