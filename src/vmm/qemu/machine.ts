/** One running QEMU, started by us or adopted: its streams, its control, and its end. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { BangerError } from "#base/error.ts";
import { boundLog, readTail } from "#vmm/console.ts";
import type { ExitReason, Machine, MachineHandle } from "#vmm/driver.ts";
import { Goodbye } from "#vmm/goodbye.ts";
import { type Child, killProcess, untilGone } from "#vmm/process.ts";
import { openSocket } from "#vmm/socket.ts";
import { socketPaths } from "./command.ts";
import { exitReason } from "./exit.ts";
import { clearRuntime, type Notes } from "./notes.ts";
import type { Qmp } from "./qmp.ts";
import { saveState } from "./snapshot.ts";

/** The last events of a QEMU that is gone are still in the socket: how long to wait for them. */
const LAST_EVENTS_MS = 1000;
const LOG_LOOK_MS = 30_000;

export interface MachineParts {
  handle: MachineHandle;
  /** Undefined when the control socket of an adopted machine did not answer. */
  qmp: Qmp | undefined;
  /** Filled by the events of `qmp`. */
  events: Events;
  notes: Notes | undefined;
  /** Undefined for an adopted machine. */
  child: Child | undefined;
  /** Where the guest says goodbye; undefined when nobody answered there. */
  goodbye: Socket | undefined;
}

export interface Events {
  shutdown?: string;
}

export class QemuMachine implements Machine {
  readonly handle: MachineHandle;
  readonly exited: Promise<ExitReason>;
  readonly #parts: MachineParts;
  readonly #released = new AbortController();
  readonly #logTimer: NodeJS.Timeout;
  readonly #goodbye = new Goodbye();
  #agent: Socket | undefined;
  #killed = false;
  #over = false;

  constructor(parts: MachineParts) {
    this.handle = parts.handle;
    this.#parts = parts;
    if (parts.goodbye) this.#goodbye.listen(parts.goodbye);
    this.#logTimer = setInterval(() => this.#boundLogs(), LOG_LOOK_MS).unref();
    this.exited = this.#watch();
  }

  async connectAgent(signal?: AbortSignal): Promise<Duplex> {
    this.#agent?.destroy();
    if (this.#over) throw ended();
    const socket = await openSocket(socketPaths(this.handle.runtimeDir).agent, signal);
    if (this.#over || this.#released.signal.aborted) {
      socket.destroy();
      throw ended();
    }
    this.#agent = socket;
    return socket;
  }

  async kill(): Promise<void> {
    if (this.#over) return;
    this.#killed = true;
    await killProcess(this.handle);
    if (!this.#released.signal.aborted) await this.exited;
  }

  async pause(): Promise<void> {
    await this.#control().execute("stop");
  }

  async snapshot(statePath: string, signal?: AbortSignal): Promise<void> {
    const socketPath = socketPaths(this.handle.runtimeDir).state;
    await saveState(this.#control(), { socketPath, statePath, signal });
  }

  async resume(): Promise<void> {
    await this.#control().execute("cont");
  }

  release(): void {
    this.#released.abort();
    this.#close();
    this.#parts.child?.unref();
  }

  #control(): Qmp {
    if (this.#over) throw ended();
    if (this.#parts.qmp) return this.#parts.qmp;
    throw new BangerError("unavailable", "Cannot control the machine: QEMU does not answer", {
      hint: "Kill the machine and start it again",
    });
  }

  async #watch(): Promise<ExitReason> {
    const { child, qmp, events, notes, handle } = this.#parts;
    await this.#gone();
    const last = Promise.all([child ? qmp?.closed : undefined, this.#goodbye.complete()]);
    await Promise.race([last, sleep(LAST_EVENTS_MS, undefined, { ref: false })]);
    this.#over = true;
    this.#close();
    const reason = exitReason({
      shutdown: events.shutdown,
      killed: this.#killed,
      word: this.#goodbye.word,
      isHeard: notes?.saysGoodbye === true && this.#parts.goodbye !== undefined,
      status: child ? { code: child.exitCode, signal: child.signalCode } : undefined,
      consoleText: notes ? readTail(notes.consolePath, notes.consoleStart_bytes) : "",
      stderr: notes ? readTail(notes.logPath, notes.logStart_bytes) : "",
    });
    clearRuntime(handle.runtimeDir);
    return reason;
  }

  /** Resolves when the process is gone, and never once the machine was released. */
  async #gone(): Promise<void> {
    const { child, qmp } = this.#parts;
    if (child) await child.exited;
    else {
      // The control socket ends with the process: nothing needs to be looked at until then.
      await qmp?.closed;
      await untilGone(this.handle, this.#released.signal);
    }
    if (this.#released.signal.aborted) await new Promise<never>(() => {});
  }

  #close(): void {
    clearInterval(this.#logTimer);
    this.#agent?.destroy();
    this.#goodbye.close();
    this.#parts.qmp?.close();
  }

  #boundLogs(): void {
    const { notes } = this.#parts;
    if (!notes) return;
    boundLog(notes.consolePath);
    boundLog(notes.logPath);
  }
}

function ended(): BangerError {
  return new BangerError("invalid_state", "Cannot reach the machine: it has ended");
}
