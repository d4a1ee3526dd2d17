/**
 * The client's side of an exec WebSocket (src/api/exec.ts is the specification): a command
 * in a machine, or a connection into one, with back-pressure in both directions.
 */
import type { ExecClientMessage, ExecExit, ExecOpen } from "#api/exec.ts";
import { INITIAL_CREDIT_BYTES, STDERR_TAG, STDOUT_TAG } from "#api/exec-constants.ts";
import type { ExecConnection, ExecOptions } from "#api/serve/exec-client.ts";
import { abortError, onAbort } from "#base/abort.ts";
import { Credit } from "#base/credit.ts";
import { BangerError } from "#base/error.ts";
import { readServerMessage } from "./exec-messages.ts";
import { notRunning } from "./unreachable.ts";

/** Of one message with stdin. */
const STDIN_CHUNK_MAX_BYTES = 64 * 1024;
/** Consumed output is granted again in portions of this size, or when none follows for a moment. */
const GRANT_BYTES = INITIAL_CREDIT_BYTES / 4;
const GRANT_DELAY_MS = 5;

/** Transport of the messages: a WebSocket, or a replacement in the same process. */
export interface ExecChannel {
  readonly isOpen: boolean;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(): void;
}

export interface ChannelEvents {
  /** Never called before the channel is returned. */
  onOpen: () => void;
  onMessage: (data: string | ArrayBuffer) => void;
  /** Also called if it never opened. */
  onClose: (reason: string) => void;
}

export type Dial = (socket: string, events: ChannelEvents) => ExecChannel;

/** Over a channel of any kind; nothing here needs more than a browser has. */
export function openExecOver(
  socket: string,
  open: ExecOpen,
  options: ExecOptions & { dial: Dial },
): ExecConnection {
  const started = Promise.withResolvers<string>();
  const exited = Promise.withResolvers<ExecExit>();
  started.promise.catch(() => {});
  exited.promise.catch(() => {});

  const web = new DaemonSocket(socket, open, {
    dial: options.dial,
    revive: options.revive,
    onMessage: receive,
    onClose: closed,
    onFailure: fail,
  });
  const stdin = makeStdin((data) => web.send(data));
  const output = makeOutput(options, { grant: (bytes) => web.tell({ grant: bytes }), fail });
  let isOver = false;
  let caller: Disposable | undefined;

  function over(): void {
    isOver = true;
    stdin.close();
    caller?.[Symbol.dispose]();
    web.close();
  }
  function fail(error: unknown): void {
    if (isOver) return;
    over();
    started.reject(error);
    exited.reject(error);
  }
  function control(text: string): void {
    const message = readServerMessage(text);
    if ("progress" in message) options.onProgress?.(message.progress);
    else if ("started" in message) {
      const { vm, daemon, pid } = message.started;
      if (daemon) options.onDaemon?.(daemon);
      options.onStarted?.(vm, pid);
      started.resolve(vm);
    } else if ("held" in message) void release(message.held.vm);
    else if ("grant" in message) stdin.grant(message.grant);
    else if ("error" in message) output.whenTaken(() => fail(message.error));
    else {
      output.whenTaken(() => {
        if (isOver) return;
        over();
        exited.resolve(message.exit);
      });
    }
  }
  async function release(vm: string): Promise<void> {
    try {
      await options.onHeld?.(vm);
      web.tell({ go: true });
    } catch (error) {
      fail(error);
    }
  }
  function receive(data: string | ArrayBuffer): void {
    try {
      if (typeof data === "string") control(data);
      else output.take(new Uint8Array(data));
    } catch (error) {
      fail(error);
    }
  }
  function closed(reason: string): void {
    output.whenTaken(() => fail(connectionClosed(reason)));
  }
  const { signal } = options;
  if (signal) caller = onAbort(signal, () => fail(abortError(signal)));

  return {
    started: started.promise,
    exited: exited.promise,
    writeStdin: stdin.write,
    endStdin: () => stdin.end(() => web.tell({ eof: true })),
    resize: (size) => web.tell({ resize: size }),
    signal: (name) => web.tell({ signal: name }),
    close: () => fail(new BangerError("cancelled", "connection closed")),
  };
}

interface SocketEvents {
  dial: Dial;
  revive: ExecOptions["revive"];
  onMessage: (data: string | ArrayBuffer) => void;
  onClose: (reason: string) => void;
  /** No daemon could be reached. */
  onFailure: (error: unknown) => void;
}

/** The channel of one session. If no daemon answers, `revive` starts one, and the request is sent there. */
class DaemonSocket {
  readonly #open: ExecOpen;
  readonly #events: SocketEvents;
  #channel: ExecChannel;
  #isClosed = false;

  constructor(socket: string, open: ExecOpen, events: SocketEvents) {
    this.#open = open;
    this.#events = events;
    this.#channel = this.#dial(socket, events.revive);
  }

  send(data: Uint8Array<ArrayBuffer>): void {
    this.#channel.send(data);
  }

  tell(message: ExecClientMessage): void {
    if (this.#channel.isOpen) this.#channel.send(JSON.stringify(message));
  }

  close(): void {
    this.#isClosed = true;
    this.#channel.close();
  }

  #dial(socket: string, revive: ExecOptions["revive"]): ExecChannel {
    let wasOpen = false;
    const channel = this.#events.dial(socket, {
      onOpen: () => {
        wasOpen = true;
        channel.send(JSON.stringify(this.#open));
      },
      onMessage: (data) => {
        if (!this.#isClosed) this.#events.onMessage(data);
      },
      onClose: (reason) => {
        if (wasOpen) this.#events.onClose(reason);
        else void this.#redial(socket, revive);
      },
    });
    return channel;
  }

  async #redial(socket: string, revive: ExecOptions["revive"]): Promise<void> {
    if (this.#isClosed) return;
    try {
      if (!revive) throw notRunning(socket);
      const next = await revive();
      if (this.#isClosed) return;
      // A daemon that was just started and does not answer is not started again.
      this.#channel = this.#dial(next, undefined);
    } catch (error) {
      this.#events.onFailure(error);
    }
  }
}

function connectionClosed(reason: string): BangerError {
  const cause = reason ? `: ${reason}` : "";
  return new BangerError("unavailable", `connection closed by the daemon${cause}`, {
    hint: "Check the log: banger daemon logs",
  });
}

/** Stdin under the daemon's credit; without credit nothing is sent. */
function makeStdin(send: (bytes: Uint8Array<ArrayBuffer>) => void) {
  const credit = new Credit(0);
  let isClosed = false;
  let queue: Promise<boolean> = Promise.resolve(true);

  async function push(bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.length; ) {
      const length = await credit.take(Math.min(bytes.length - at, STDIN_CHUNK_MAX_BYTES));
      if (length === 0) return false;
      send(bytes.slice(at, at + length));
      at += length;
    }
    return !isClosed;
  }
  return {
    grant: (bytes: number): void => credit.add(bytes),
    write(bytes: Uint8Array): Promise<boolean> {
      queue = queue.then(() => push(bytes));
      return queue;
    },
    end(tell: () => void): void {
      queue = queue.then((isOpen) => {
        if (isOpen) tell();
        return isOpen;
      });
    },
    close(): void {
      isClosed = true;
      credit.close();
    },
  };
}

interface OutputEvents {
  grant: (bytes: number) => void;
  fail: (error: unknown) => void;
}

/** Hands output on, one chunk at a time, and grants what was taken. */
function makeOutput({ onStdout, onStderr }: ExecOptions, { grant, fail }: OutputEvents) {
  const queue: Uint8Array[] = [];
  let afterwards: (() => void) | undefined;
  let isBusy = false;
  let taken = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function grantTaken(): void {
    clearTimeout(timer);
    timer = undefined;
    if (taken > 0) grant(taken);
    taken = 0;
  }
  async function drain(): Promise<void> {
    isBusy = true;
    try {
      for (let message = queue.shift(); message; message = queue.shift()) {
        const bytes = message.subarray(1);
        const done = (message[0] === STDOUT_TAG ? onStdout : onStderr)?.(bytes);
        if (done) await done;
        taken += bytes.length;
        if (taken >= GRANT_BYTES) grantTaken();
        else timer ??= setTimeout(grantTaken, GRANT_DELAY_MS);
      }
    } catch (error) {
      queue.length = 0;
      fail(error);
    } finally {
      isBusy = false;
    }
    afterwards?.();
  }
  return {
    take(message: Uint8Array): void {
      const tag = message[0];
      if (tag !== STDOUT_TAG && tag !== STDERR_TAG) {
        throw new BangerError("internal", "Cannot read the daemon's response: unknown stream");
      }
      queue.push(message);
      if (!isBusy) void drain();
    },
    /** Calls `work` once everything that came so far was taken; the first call counts. */
    whenTaken(work: () => void): void {
      const finish = (): void => {
        clearTimeout(timer);
        work();
      };
      afterwards ??= finish;
      if (!isBusy) afterwards();
    },
  };
}
