/**
 * The daemon's side of one exec WebSocket (src/api/exec.ts is the specification): joins
 * the client's messages to a stream of the guest, credit included, and keeps nothing itself.
 */
import type { Duplex } from "node:stream";
import type { ServerWebSocket } from "bun";
import {
  type ExecExit,
  type ExecOpen,
  type ExecServerMessage,
  execClientMessage,
  execOpen,
  INITIAL_CREDIT_BYTES,
  STDERR_TAG,
  STDOUT_TAG,
} from "#api/exec.ts";
import type { VmExit } from "#api/vm.ts";
import { BangerError, messageOf, toBangerError } from "#base/error.ts";
import type { ExecStream } from "#guest/exec.ts";
import { endedError } from "#vm/ended.ts";
import type { VmService } from "#vm/service.ts";

/** Stdin that the client may have under way at once. */
const STDIN_WINDOW_BYTES = 256 * 1024;
/** From the end of a machine's connection to that of its process. */
const EXIT_GRACE_MS = 3000;
/** Of one WebSocket message with output. */
const OUTPUT_CHUNK_MAX_BYTES = 256 * 1024;

export interface ExecSession {
  receive(message: string | Uint8Array): void;
  /** The WebSocket is gone, whoever closed it. */
  clientLeft(): void;
}

type Socket = ServerWebSocket<{ session?: ExecSession }>;

/** What the session drives once it is open. */
interface Target {
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
  grant(bytes: number): void;
  resize?(size: { columns: number; rows: number }): void;
  signal?(name: string): void;
  close(): void;
}

export function openSession(socket: Socket, vms: VmService): ExecSession {
  const abort = new AbortController();
  let target: Target | undefined;
  let isOpened = false;
  let isLeft = false;
  /** Stdin in order: each write waits for the one before it. */
  let writing = Promise.resolve();

  const say = (message: ExecServerMessage): void => {
    if (!isLeft) socket.send(JSON.stringify(message));
  };
  const fail = (error: unknown): void => {
    const { code, message, hint } = toBangerError(error);
    say({ error: hint ? { code, message, hint } : { code, message } });
    socket.close(1000);
  };
  const sendOutput = (tag: number, chunk: Uint8Array): void => {
    for (let at = 0; at < chunk.length; at += OUTPUT_CHUNK_MAX_BYTES) {
      const part = chunk.subarray(at, at + OUTPUT_CHUNK_MAX_BYTES);
      const message = new Uint8Array(part.length + 1);
      message[0] = tag;
      message.set(part, 1);
      if (!isLeft) socket.send(message);
    }
  };

  async function open(request: ExecOpen): Promise<void> {
    if (request.kind === "connect") return await relayConnection(request);
    if (request.kind === "exec") {
      const { name } = vms.show(request.vm);
      const ended = watch(vms.wait(name, abort.signal));
      const stream = await vms.exec(name, request.exec, { signal: abort.signal });
      return await relay(stream, { name, ended });
    }
    const vm = await vms.create(
      { mode: "direct", ...request.create, ephemeral: !request.keep, start: true },
      {
        signal: abort.signal,
        onProgress: ({ step, message, done, total, unit }) =>
          say({
            progress: {
              step,
              message,
              ...(done === undefined ? {} : { done }),
              ...(total === undefined ? {} : { total }),
              ...(unit === undefined ? {} : { unit }),
            },
          }),
      },
    );
    try {
      const ended = watch(vms.wait(vm.id, abort.signal));
      const stream = await vms.exec(vm.id, request.exec, {
        entrypoint: request.entrypoint,
        asImage: true,
        signal: abort.signal,
      });
      await relay(stream, { name: vm.name, ended }, async () => {
        // The machine is gone before the client hears of the exit, so nothing outlives `vm run`.
        if (request.keep) await vms.stop(vm.id);
        else await vms.discard(vm.id);
      });
    } catch (error) {
      await vms.remove(vm.id, { force: true }).catch(() => {});
      throw error;
    }
  }

  async function relay(
    stream: ExecStream,
    vm: { name: string; ended: Promise<VmExit> },
    before_exit?: () => Promise<void>,
  ): Promise<void> {
    target = {
      write: (bytes) => stream.writeStdin(bytes),
      end: () => stream.closeStdin(),
      grant: (bytes) => stream.grant(bytes),
      resize: (size) => stream.resize(size),
      signal: (name) => stream.signal(name),
      close: () => stream.close(),
    };
    if (isLeft) stream.close();
    say({ started: { vm: vm.name } });
    say({ grant: STDIN_WINDOW_BYTES });
    stream.onStdout((chunk) => sendOutput(STDOUT_TAG, chunk));
    stream.onStderr((chunk) => sendOutput(STDERR_TAG, chunk));
    let exit: ExecExit;
    try {
      exit = await stream.exited;
    } catch (error) {
      // A machine that dies takes the connection along; its end is what the user needs to hear.
      const end = await Promise.race([vm.ended, Bun.sleep(EXIT_GRACE_MS)]).catch(() => undefined);
      throw end && !isLeft ? endedError(vm.name, end, "ran the command") : error;
    } finally {
      target = undefined;
      await before_exit?.();
    }
    say({ exit });
    socket.close(1000);
  }

  async function relayConnection(request: ExecOpen & { kind: "connect" }): Promise<void> {
    const { target: to } = request;
    const guest = await vms.connect(
      request.vm,
      "path" in to ? { kind: "unix", ...to } : { kind: "tcp", ...to },
      abort.signal,
    );
    const credit = makeCredit();
    target = duplexTarget(guest, credit);
    if (isLeft) guest.destroy();
    say({ started: { vm: request.vm } });
    say({ grant: STDIN_WINDOW_BYTES });
    for await (const chunk of guest as AsyncIterable<Uint8Array>) {
      for (let at = 0; at < chunk.length; at += OUTPUT_CHUNK_MAX_BYTES) {
        const part = chunk.subarray(at, at + OUTPUT_CHUNK_MAX_BYTES);
        await credit.take(part.length);
        sendOutput(STDOUT_TAG, part);
      }
    }
    say({ exit: { code: 0 } });
    socket.close(1000);
  }

  function control(text: string): void {
    const parsed = execClientMessage.safeParse(parseJson(text));
    if (!parsed.success) throw new BangerError("invalid_argument", "Cannot take the exec message");
    const message = parsed.data;
    if ("grant" in message) target?.grant(message.grant);
    else if ("resize" in message) target?.resize?.(message.resize);
    else if ("signal" in message) target?.signal?.(message.signal);
    else writing = writing.then(() => target?.end()).catch(() => {});
  }

  return {
    receive(message) {
      try {
        if (typeof message !== "string") {
          const bytes = new Uint8Array(message);
          writing = writing
            .then(() => target?.write(bytes))
            .then(() => say({ grant: bytes.length }))
            .catch(() => {});
        } else if (isOpened) {
          control(message);
        } else {
          isOpened = true;
          const request = execOpen.safeParse(parseJson(message));
          if (!request.success) throw fromIssues(request.error.issues);
          open(request.data).catch(fail);
        }
      } catch (error) {
        fail(error);
      }
    },
    clientLeft() {
      isLeft = true;
      abort.abort();
      target?.close();
    },
  };
}

function duplexTarget(guest: Duplex, credit: ReturnType<typeof makeCredit>): Target {
  return {
    write(bytes) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      guest.write(bytes, (error) => (error ? reject(error) : resolve()));
      return promise;
    },
    async end() {
      guest.end();
    },
    grant: credit.add,
    close: () => guest.destroy(),
  };
}

/** For a promise that is looked at later, or never: its failure alone is no error. */
function watch<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
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

function fromIssues(issues: readonly { path: PropertyKey[]; message: string }[]): BangerError {
  const first = issues[0];
  const path = first?.path.map(String).join(".") ?? "";
  return new BangerError(
    "invalid_argument",
    `Cannot take "${path}": ${first?.message ?? "not valid"}`,
  );
}
