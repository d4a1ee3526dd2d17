/** A client's view of one exec stream, however it reaches the daemon. */

import type { ExecExit, TerminalSize } from "#api/exec.ts";
import type { DaemonVersion } from "#api/exec-constants.ts";
import type { OnProgress } from "#base/progress.ts";

/** Called with each chunk in order; while the promise is pending no further chunk comes, and the guest stalls. */
export type OnOutput = (bytes: Uint8Array) => void | Promise<void>;

export interface ExecOptions {
  onStdout?: OnOutput;
  onStderr?: OnOutput;
  /** Of the time before the command runs: a pull, a boot. */
  onProgress?: OnProgress;
  /**
   * Called with the machine's name, and the command's pid in it, before any output of the command; `started` may
   * resolve after the first output.
   */
  onStarted?: ((vm: string, pid: number | undefined) => void) | undefined;
  /** Called with the machine's name while the command of `run` with `hold` waits; its failure ends the machine. */
  onHeld?: ((vm: string) => Promise<void>) | undefined;
  /** What the daemon is, once the command runs; an older one does not tell. */
  onDaemon?: ((daemon: DaemonVersion) => void) | undefined;
  /** Called when nobody answers at the socket. Nothing was asked for yet: it is tried anew, at the socket that this gives. */
  revive?: (() => Promise<string>) | undefined;
  /** Ends the connection; the daemon ends the command and, after `run`, removes the machine. */
  signal?: AbortSignal | undefined;
}

export interface ExecConnection {
  /** The machine's name, once the command runs; rejects with what kept it from running. */
  readonly started: Promise<string>;
  /** How the command ended, after all of its output was taken. */
  readonly exited: Promise<ExecExit>;
  /** Resolves when the bytes are on their way; false when nobody takes them any more. */
  writeStdin(bytes: Uint8Array): Promise<boolean>;
  /** Ends stdin, after what was written before. */
  endStdin(): void;
  resize(size: TerminalSize): void;
  /** `name` without "SIG", such as "INT". */
  signal(name: string): void;
  close(): void;
}
