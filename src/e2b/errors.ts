/** E2B's error form, `{ code, message }`, with the HTTP status as the code. */
import { type BangerError, errorCodes, toBangerError } from "#base/error.ts";

export class E2bError extends Error {
  override readonly name = "E2bError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function notFound(message: string): E2bError {
  return new E2bError(404, message);
}

export function badRequest(message: string): E2bError {
  return new E2bError(400, message);
}

/** A feature of E2B that banger does not have; docs/e2b.md lists them. */
export function notServed(what: string): E2bError {
  return new E2bError(501, `not supported by banger: ${what}`);
}

export function statusOf(error: unknown): { status: number; message: string } {
  if (error instanceof E2bError) return { status: error.status, message: error.message };
  const known = toBangerError(error);
  return { status: errorCodes[known.code].http, message: textOf(known) };
}

export function errorReply(error: unknown): Response {
  const { status, message } = statusOf(error);
  return Response.json({ code: status, message }, { status });
}

/** The hint is the command that fixes it, which users of another program's client need most. */
export function textOf({ message, hint }: BangerError): string {
  return hint ? `${message}. ${hint}` : message;
}
