/** A connection to QEMU's control socket. */
import type { Socket } from "node:net";
import { onAbort } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { openSocket } from "#vmm/socket.ts";
import { encodeCommand, QmpDecoder, type QmpMessage } from "./qmp-codec.ts";

/** It answers within milliseconds, unless the host has no time for it. */
const COMMAND_TIMEOUT_MS = 60_000;

interface Pending {
  command: string;
  resolve: (value: unknown) => void;
  reject: (error: BangerError) => void;
}

export interface QmpOptions {
  /** Called with every event, also with those that arrive before `openQmp` resolves. */
  onEvent: (event: string, data: Record<string, unknown>) => void;
  signal?: AbortSignal | undefined;
}

/** One client; QEMU serves one at a time. */
export class Qmp {
  /** Resolves when the connection has ended, by whichever side. Never rejects. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  constructor(socket: Socket, onMessage: (message: QmpMessage) => void) {
    this.#socket = socket;
    const decoder = new QmpDecoder();
    socket.on("data", (chunk) => {
      try {
        for (const message of decoder.push(Buffer.from(chunk))) {
          this.#settle(message);
          onMessage(message);
        }
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined);
      }
    });
    // A failure of the socket always ends in its close, where it is dealt with.
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.#rejectAll();
        resolve();
      });
    });
  }

  /** Runs one command and gives what it returns. `internal` when QEMU refuses, `timeout` when it does not answer. */
  execute(command: string, parameters?: Record<string, unknown>): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(gone(command));
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new BangerError("timeout", `Cannot run "${command}" in QEMU: no response`));
      }, COMMAND_TIMEOUT_MS);
      const settled =
        <T>(settle: (value: T) => void) =>
        (value: T): void => {
          clearTimeout(timer);
          settle(value);
        };
      this.#pending.set(id, { command, resolve: settled(resolve), reject: settled(reject) });
      this.#socket.write(encodeCommand(id, command, parameters));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #settle(message: QmpMessage): void {
    if (message.kind !== "return" && message.kind !== "error") return;
    const pending = this.#pending.get(message.id ?? -1);
    if (!pending) return;
    this.#pending.delete(message.id ?? -1);
    if (message.kind === "return") {
      pending.resolve(message.value);
      return;
    }
    const text = `Cannot run "${pending.command}" in QEMU: ${message.message}`;
    pending.reject(new BangerError("internal", text));
  }

  #rejectAll(): void {
    for (const { command, reject } of this.#pending.values()) reject(gone(command));
    this.#pending.clear();
  }
}

/**
 * Connects and does the handshake: once it resolves, QEMU has made all its devices and sockets.
 * Rejects with `unavailable` when there is nobody at the socket.
 */
export async function openQmp(path: string, options: QmpOptions): Promise<Qmp> {
  const socket = await openSocket(path, options.signal);
  let greeted: () => void = () => {};
  const greeting = new Promise<void>((resolve) => {
    greeted = resolve;
  });
  const qmp = new Qmp(socket, (message) => {
    if (message.kind === "greeting") greeted();
    if (message.kind === "event") options.onEvent(message.event, message.data);
  });
  using _ = onAbort(options.signal, () => qmp.close());
  try {
    const ended = await Promise.race([greeting, qmp.closed.then(() => "ended" as const)]);
    if (ended) throw gone("qmp_capabilities");
    await qmp.execute("qmp_capabilities");
    return qmp;
  } catch (error) {
    qmp.close();
    throw error;
  }
}

/** Runs a command of the human monitor, for what only that tells; gives its text. */
export async function askMonitor(qmp: Qmp, command: string): Promise<string> {
  return String(await qmp.execute("human-monitor-command", { "command-line": command }));
}

function gone(command: string): BangerError {
  return new BangerError("unavailable", `Cannot run "${command}" in QEMU: it has exited`);
}
