/**
 * The Connect protocol, in JSON: unary calls are plain HTTP, streams are envelopes of a flags byte, four bytes of
 * length and a message. The last envelope of a stream has flag 2 and the error, if there is one.
 */
import type { z } from "zod";
import { type ErrorCode, toBangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { readBytes } from "#e2b/body.ts";
import { E2bError, textOf } from "#e2b/errors.ts";

/** Of one message: a command's arguments and environment may have 2 MiB. */
const MESSAGE_MAX_BYTES = 8 * MiB;
const HEADER_BYTES = 5;
const FLAG_COMPRESSED = 1;
const FLAG_END = 2;
/** More is never a timeout that somebody means; timers count no further. */
const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/** HTTP statuses of the codes, as the protocol has them. */
const statuses = {
  canceled: 499,
  unknown: 500,
  invalid_argument: 400,
  deadline_exceeded: 504,
  not_found: 404,
  already_exists: 409,
  permission_denied: 403,
  resource_exhausted: 429,
  failed_precondition: 400,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  unauthenticated: 401,
} as const;
export type ConnectCode = keyof typeof statuses;

/** A full disk and an exceeded limit are not resource_exhausted, which clients treat as a rate limit. */
const codes: Partial<Record<ErrorCode, ConnectCode>> = {
  invalid_argument: "invalid_argument",
  not_found: "not_found",
  already_exists: "already_exists",
  permission_denied: "permission_denied",
  unauthorized: "unauthenticated",
  unsupported: "unimplemented",
  unavailable: "unavailable",
  timeout: "deadline_exceeded",
  cancelled: "canceled",
  command_not_found: "invalid_argument",
  command_not_executable: "invalid_argument",
  internal: "internal",
  guest: "internal",
};

export class ConnectError extends Error {
  override readonly name = "ConnectError";
  readonly code: ConnectCode;

  constructor(code: ConnectCode, message: string) {
    super(message);
    this.code = code;
  }
}

export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  if (error instanceof E2bError) {
    const found = Object.entries(statuses).find(([, status]) => status === error.status);
    return new ConnectError((found?.[0] as ConnectCode | undefined) ?? "unknown", error.message);
  }
  const known = toBangerError(error);
  return new ConnectError(codes[known.code] ?? "failed_precondition", textOf(known));
}

export function unaryError(error: unknown): Response {
  const { code, message } = toConnectError(error);
  return Response.json({ code, message }, { status: statuses[code] });
}

/** Undefined: it may take for ever. */
export function timeoutOf(request: Request): number | undefined {
  const text = request.headers.get("Connect-Timeout-Ms");
  if (!text) return undefined;
  const timeout_ms = Number(text);
  if (/^\d{1,10}$/.test(text)) return Math.min(timeout_ms, TIMEOUT_MAX_MS);
  throw new ConnectError("invalid_argument", `invalid Connect-Timeout-Ms: "${text.slice(0, 20)}"`);
}

export function isStreaming(request: Request): boolean {
  return typeOf(request) === "application/connect+json";
}

/** The message of a unary call. */
export async function readUnary<T extends z.ZodType>(
  request: Request,
  schema: T,
): Promise<z.output<T>> {
  if (typeOf(request) !== "application/json") throw unsupportedType(request);
  assertPlain(request, "Content-Encoding");
  const bytes = await readBytes(request, MESSAGE_MAX_BYTES);
  return parseMessage(bytes, schema);
}

/** The one message of a call that is answered by a stream. */
export async function readFirst<T extends z.ZodType>(
  request: Request,
  schema: T,
): Promise<z.output<T>> {
  if (!isStreaming(request)) throw unsupportedType(request);
  for await (const message of readEnvelopes(request)) return parseMessage(message, schema);
  throw new ConnectError("invalid_argument", "the request has no message");
}

/** The messages of a stream from the client, as they come. */
export async function* readEnvelopes(request: Request): AsyncGenerator<Uint8Array> {
  assertPlain(request, "Connect-Content-Encoding");
  let kept = Buffer.alloc(0);
  for await (const chunk of request.body ?? []) {
    kept = Buffer.concat([kept, chunk]);
    while (kept.length >= HEADER_BYTES) {
      const flags = kept.readUInt8(0);
      const length = kept.readUInt32BE(1);
      if (length > MESSAGE_MAX_BYTES) {
        throw new ConnectError("invalid_argument", `message too large: ${length} bytes`);
      }
      if (flags & FLAG_COMPRESSED) {
        throw new ConnectError("unimplemented", "compressed messages are not supported");
      }
      if (kept.length < HEADER_BYTES + length) break;
      const message = kept.subarray(HEADER_BYTES, HEADER_BYTES + length);
      kept = kept.subarray(HEADER_BYTES + length);
      if (flags & FLAG_END) return;
      yield message;
    }
  }
  if (kept.length > 0) throw new ConnectError("invalid_argument", "truncated message");
}

export function parseMessage<T extends z.ZodType>(bytes: Uint8Array, schema: T): z.output<T> {
  const parsed = schema.safeParse(parseJson(bytes));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") || "message";
  throw new ConnectError("invalid_argument", `invalid ${where}: ${issue?.message}`);
}

export function envelope(message: unknown, flags = 0): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(JSON.stringify(message));
  const bytes = new Uint8Array(HEADER_BYTES + text.length);
  new DataView(bytes.buffer).setUint32(1, text.length);
  bytes[0] = flags;
  bytes.set(text, HEADER_BYTES);
  return bytes;
}

/** Answers with the messages as they come; that the client leaves ends the source. */
export function streamReply(source: AsyncGenerator<unknown, void>): Response {
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await source.next();
        if (!done) return controller.enqueue(envelope(value));
        controller.enqueue(envelope({}, FLAG_END));
      } catch (error) {
        const { code, message } = toConnectError(error);
        controller.enqueue(envelope({ error: { code, message } }, FLAG_END));
      }
      controller.close();
    },
    async cancel() {
      await source.return();
    },
  });
  return new Response(stream, { headers: { "Content-Type": "application/connect+json" } });
}

/** A failure before the first message, which streams have in their last envelope as well. */
export function streamError(error: unknown): Response {
  return streamReply(failing(error));
}

// biome-ignore lint/correctness/useYield: it has nothing to give
async function* failing(error: unknown): AsyncGenerator<never, void> {
  throw error;
}

function typeOf(request: Request): string {
  return (request.headers.get("Content-Type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

function assertPlain(request: Request, header: string): void {
  const encoding = request.headers.get(header) ?? "identity";
  if (encoding === "identity") return;
  throw new ConnectError("unimplemented", `${header} "${encoding.slice(0, 20)}" is not supported`);
}

function unsupportedType(request: Request): ConnectError {
  const type = typeOf(request);
  return new ConnectError("unimplemented", `content type "${type}" is not supported: use JSON`);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new ConnectError("invalid_argument", "invalid message: not JSON");
  }
}
