/** Maps our errors to the contract's, and invalid input to ours. The only place that does. */
import { getLogger } from "@logtape/logtape";
import { ORPCError, ValidationError } from "@orpc/server";
import { BangerError, errorCodes, toBangerError } from "#base/error.ts";
import { storeFailure } from "#store/failure.ts";
import { badInput } from "./bad-input.ts";

const log = getLogger(["banger", "daemon"]);

/** As `toBangerError`, with the failures of the store told apart. */
export function toDaemonError(thrown: unknown): BangerError {
  const error = toBangerError(thrown);
  if (error.code !== "internal") return error;
  return storeFailure(thrown) ?? storeFailure(error.cause) ?? error;
}

export function toOrpcError(thrown: unknown): ORPCError<string, { hint?: string }> {
  const error = fromInput(thrown) ?? toDaemonError(thrown);
  if (error.code === "internal") {
    log.error("request failed: {message}", { message: error.message, stack: stackOf(thrown) });
  }
  return new ORPCError(error.code, {
    status: errorCodes[error.code].http,
    message: error.message,
    data: error.hint ? { hint: error.hint } : {},
    cause: thrown,
  });
}

export function errorResponse(thrown: unknown): Response {
  const error = toOrpcError(thrown);
  return Response.json(error.toJSON(), { status: error.status });
}

/** Names the field and what it must be when the input does not fit the contract. */
function fromInput(thrown: unknown): BangerError | undefined {
  if (!(thrown instanceof ORPCError) || thrown.code !== "BAD_REQUEST") return undefined;
  const issues = thrown.cause instanceof ValidationError ? thrown.cause.issues : [];
  return issues.length > 0 ? badInput(issues) : new BangerError("invalid_argument", thrown.message);
}

function stackOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error)) return undefined;
  const cause = thrown.cause instanceof Error ? `\ncaused by ${thrown.cause.stack}` : "";
  return `${thrown.stack}${cause}`;
}
