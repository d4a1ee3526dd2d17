/** The two sides of an exec WebSocket: the session on the socket, and the stream behind it. */
import type { ExecServerMessage } from "#api/exec.ts";

export interface ExecSession {
  receive(message: string | Uint8Array): void;
  /** The WebSocket is gone, whoever closed it. */
  clientLeft(): void;
}

/** What the client's messages are for, once it is open. */
export interface Target {
  write?(bytes: Uint8Array): Promise<unknown>;
  end?(): Promise<void>;
  /** By default the grant is for `Wire.pipe`. */
  grant?(bytes: number): void;
  resize?(size: { columns: number; rows: number }): void;
  signal?(name: string): void;
  close(): void;
}

/** The client, as a stream sees it. */
export interface Wire {
  /** Fires when the client has left. */
  readonly signal: AbortSignal;
  say(message: ExecServerMessage): void;
  /** Under the credit of a target that counts it itself. */
  sendOutput(tag: number, chunk: Uint8Array): void;
  /** Sends all of it as stdout, under the client's credit. */
  pipe(source: AsyncIterable<Uint8Array>): Promise<void>;
  /** From here on the client's messages are for the target: the client is told that it runs. */
  join(target: Target, vm: string, pid?: number): void;
  /** The target has ended. */
  leave(): void;
  /** Tells the client that the command waits, and resolves when the client lets it go on or has left. */
  hold(vm: string): Promise<void>;
}
