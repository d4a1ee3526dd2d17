/**
 * The daemon's side of one exec WebSocket (src/api/exec.ts is the specification): reads the
 * client's messages and hands them to whatever stream it has asked for, credit included.
 */
import type { ServerWebSocket } from "bun";
import { execClientMessage, execOpen, INITIAL_CREDIT_BYTES, STDOUT_TAG } from "#api/exec.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { badInput } from "#daemon/bad-input.ts";
import { toDaemonError } from "#daemon/errors.ts";
import { openElsewhere } from "./elsewhere.ts";
import { openStream, type StreamServices } from "./streams.ts";
import type { ExecSession, Target, Wire } from "./wire.ts";

/** Stdin that the client may have under way at once. */
const STDIN_WINDOW_BYTES = 256 * 1024;
/** Of one WebSocket message with output. */
const OUTPUT_CHUNK_MAX_BYTES = 256 * 1024;

type Socket = ServerWebSocket<{ session?: ExecSession }>;

export function openSession(socket: Socket, services: StreamServices): ExecSession {
  const abort = new AbortController();
  const credit = makeCredit();
  let target: Target | undefined;
  let isOpened = false;
  /** Has the session when another process has the machine. */
  let delegate: ExecSession | undefined;
  /** Stdin in order: each write waits for the one before it. */
  let writing: Promise<unknown> = Promise.resolve();

  const wire: Wire = {
    signal: abort.signal,
    say(message) {
      if (!abort.signal.aborted) socket.send(JSON.stringify(message));
    },
    sendOutput(tag, chunk) {
      for (const part of pieces(chunk)) {
        const message = new Uint8Array(part.length + 1);
        message[0] = tag;
        message.set(part, 1);
        if (!abort.signal.aborted) socket.send(message);
      }
    },
    async pipe(source) {
      for await (const chunk of source) {
        for (const part of pieces(chunk)) {
          await credit.take(part.length);
          wire.sendOutput(STDOUT_TAG, part);
        }
      }
    },
    join(joined, vm) {
      target = joined;
      if (abort.signal.aborted) joined.close();
      const { daemon } = services;
      wire.say({ started: daemon ? { vm, daemon } : { vm } });
      if (joined.write) wire.say({ grant: STDIN_WINDOW_BYTES });
    },
    leave() {
      target = undefined;
    },
  };

  const fail = (error: unknown): void => {
    const { code, message, hint } = toDaemonError(error);
    wire.say({ error: hint ? { code, message, hint } : { code, message } });
    socket.close(1000);
  };

  function open(message: string): void {
    const request = execOpen.safeParse(parseJson(message));
    if (!request.success) throw badInput(request.error.issues);
    const elsewhere =
      "vm" in request.data ? services.vms.socketElsewhere(request.data.vm) : undefined;
    if (elsewhere !== undefined) {
      delegate = openElsewhere(socket, { socket: elsewhere, fail });
      delegate.receive(message);
      return;
    }
    openStream(wire, request.data, services).then((exit) => {
      wire.say({ exit });
      socket.close(1000);
    }, fail);
  }

  function control(text: string): void {
    const parsed = execClientMessage.safeParse(parseJson(text));
    if (!parsed.success) throw new BangerError("invalid_argument", "Cannot take the exec message");
    const message = parsed.data;
    if ("grant" in message) {
      if (target?.grant) target.grant(message.grant);
      else credit.add(message.grant);
    } else if ("resize" in message) target?.resize?.(message.resize);
    else if ("signal" in message) target?.signal?.(message.signal);
    else writing = writing.then(() => target?.end?.()).catch(() => {});
  }

  return {
    receive(message) {
      try {
        if (delegate) {
          delegate.receive(message);
        } else if (typeof message !== "string") {
          const bytes = new Uint8Array(message);
          writing = writing
            .then(() => target?.write?.(bytes))
            .then(() => wire.say({ grant: bytes.length }))
            .catch(() => {});
        } else if (isOpened) {
          control(message);
        } else {
          isOpened = true;
          open(message);
        }
      } catch (error) {
        fail(error);
      }
    },
    clientLeft() {
      abort.abort();
      // Whoever waits for credit is to see that the source has ended.
      credit.add(Number.MAX_SAFE_INTEGER);
      target?.close();
      delegate?.clientLeft();
    },
  };
}

function* pieces(chunk: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < chunk.length; at += OUTPUT_CHUNK_MAX_BYTES) {
    yield chunk.subarray(at, at + OUTPUT_CHUNK_MAX_BYTES);
  }
}

/** Bytes that may still be sent, and a wait for more of them. */
function makeCredit() {
  let left = INITIAL_CREDIT_BYTES;
  let more = Promise.withResolvers<void>();
  return {
    add(bytes: number): void {
      left += bytes;
      more.resolve();
      more = Promise.withResolvers();
    },
    async take(bytes: number): Promise<void> {
      while (left < bytes && left < INITIAL_CREDIT_BYTES) await more.promise;
      left -= bytes;
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BangerError("invalid_argument", `Cannot parse the exec message: ${messageOf(error)}`);
  }
}
