/**
 * The VMM's process of one machine, whichever VMM that is, started by us or adopted: its logs stay
 * bounded while it runs, it can be killed or let go, and its end is explained once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { BangerError } from "#base/error.ts";
import type { ProcessIdentity } from "#base/process-identity.ts";
import { boundLog, readTail } from "./console.ts";
import type { ExitReason } from "./driver.ts";
import type { LogNotes } from "./logs.ts";
import { type Child, type ExitStatus, killProcess, untilGone } from "./process.ts";

const LOG_LOOK_MS = 30_000;
/** What the guest and the VMM have sent last is still in a socket: how long to wait for it. */
const LAST_WORDS_MS = 1000;

export interface ProcessParts {
  identity: ProcessIdentity;
  /** Undefined for an adopted process. */
  child: Child | undefined;
  notes: LogNotes | undefined;
}

/** How a process ended, as far as every VMM has it. */
export interface ProcessEnd {
  /** We ended it ourselves. */
  killed: boolean;
  /** Undefined for a process that is not our child. */
  status: ExitStatus | undefined;
  /** End of the guest's console in this boot. */
  consoleText: string;
}

/** What a driver adds. */
export interface ProcessHooks {
  /** Of an adopted process: until this resolves it need not be looked for. */
  adoptedEnd?: Promise<unknown> | undefined;
  /** Resolves when all that is left in the sockets has been read. */
  lastWords: () => Promise<unknown>;
  /** Called once, after `close`. */
  explain: (end: ProcessEnd) => ExitReason;
  /** Closes connections and listeners, when the process is gone or let go. Safe to repeat. */
  close: () => void;
  /** Removes the sockets and files of the process, which is gone. */
  clear: () => void;
  /** Bounds logs of the VMM's own. */
  boundLogs?: () => void;
}

export class MachineProcess {
  /** Resolves once the process is gone, and never once it was let go. */
  readonly exited: Promise<ExitReason>;
  readonly #parts: ProcessParts;
  readonly #hooks: ProcessHooks;
  readonly #released = new AbortController();
  readonly #logTimer: NodeJS.Timeout;
  #killed = false;
  #over = false;

  constructor(parts: ProcessParts, hooks: ProcessHooks) {
    this.#parts = parts;
    this.#hooks = hooks;
    this.#logTimer = setInterval(() => this.#boundLogs(), LOG_LOOK_MS).unref();
    this.exited = this.#watch();
  }

  /** False once it has ended or was let go. */
  get isOurs(): boolean {
    return !this.#over && !this.#released.signal.aborted;
  }

  /** `invalid_state` once it has ended. */
  assertRunning(): void {
    if (this.#over) throw endedError();
  }

  /** Ends the process at once and waits until it is gone. Idempotent. */
  async kill(): Promise<void> {
    if (this.#over) return;
    this.#killed = true;
    await killProcess(this.#parts.identity);
    if (!this.#released.signal.aborted) await this.exited;
  }

  /** Lets go of the process, which runs on. */
  release(): void {
    this.#released.abort();
    this.#close();
    this.#parts.child?.unref();
  }

  async #watch(): Promise<ExitReason> {
    const { child, notes } = this.#parts;
    await this.#gone();
    await Promise.race([this.#hooks.lastWords(), sleep(LAST_WORDS_MS, undefined, { ref: false })]);
    this.#over = true;
    this.#close();
    const reason = this.#hooks.explain({
      killed: this.#killed,
      status: child && { code: child.exitCode, signal: child.signalCode },
      consoleText: notes ? readTail(notes.consolePath, notes.consoleStart_bytes) : "",
    });
    this.#hooks.clear();
    return reason;
  }

  async #gone(): Promise<void> {
    const { child, identity } = this.#parts;
    if (child) await child.exited;
    else {
      await this.#hooks.adoptedEnd;
      await untilGone(identity, this.#released.signal);
    }
    if (this.#released.signal.aborted) await new Promise<never>(() => {});
  }

  #close(): void {
    clearInterval(this.#logTimer);
    this.#hooks.close();
  }

  #boundLogs(): void {
    this.#hooks.boundLogs?.();
    const { notes } = this.#parts;
    if (!notes) return;
    boundLog(notes.consolePath);
    boundLog(notes.logPath);
  }
}

export function endedError(): BangerError {
  return new BangerError("invalid_state", "Cannot reach the machine: it has stopped");
}
