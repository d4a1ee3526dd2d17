/** One running QEMU, started or adopted: its streams and its control. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { BangerError } from "#base/error.ts";
import { readTail } from "#vmm/console.ts";
import type {
  DiskLimits,
  ExitReason,
  Machine,
  MachineHandle,
  Snapshot,
  SnapshotOptions,
} from "#vmm/driver.ts";
import { Goodbye } from "#vmm/goodbye.ts";
import { scratchOf } from "#vmm/jail/scratch.ts";
import { endedError, MachineProcess, type ProcessEnd } from "#vmm/machine-process.ts";
import type { Child } from "#vmm/process.ts";
import { openSocket } from "#vmm/socket.ts";
import { socketPaths } from "./command.ts";
import { growDrive, limitDrives } from "./drives.ts";
import { exitReason } from "./exit.ts";
import { clearRuntime, type Notes } from "./notes.ts";
import type { Qmp } from "./qmp.ts";
import { saveSnapshot } from "./snapshot.ts";

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
  readonly #parts: MachineParts;
  readonly #process: MachineProcess;
  readonly #goodbye = new Goodbye();
  #agent: Socket | undefined;

  constructor(parts: MachineParts) {
    const { handle, child, notes, qmp, goodbye } = parts;
    this.handle = handle;
    this.#parts = parts;
    if (goodbye) this.#goodbye.listen(goodbye);
    this.#process = new MachineProcess(
      { identity: handle, child, notes },
      {
        // The control socket ends with the process.
        adoptedEnd: qmp?.closed,
        lastWords: () => Promise.all([child ? qmp?.closed : undefined, this.#goodbye.complete()]),
        explain: (end) => this.#explain(end),
        close: () => this.#close(),
        clear: () => clearRuntime(handle.runtimeDir),
      },
    );
  }

  get exited(): Promise<ExitReason> {
    return this.#process.exited;
  }

  async connectAgent(signal?: AbortSignal): Promise<Duplex> {
    this.#agent?.destroy();
    this.#process.assertRunning();
    const socket = await openSocket(socketPaths(this.handle.runtimeDir).agent, signal);
    if (!this.#process.isOurs) {
      socket.destroy();
      throw endedError();
    }
    this.#agent = socket;
    return socket;
  }

  async kill(): Promise<void> {
    await this.#process.kill();
  }

  async pause(): Promise<void> {
    await this.#control().execute("stop");
  }

  async snapshot(files: Snapshot, options: SnapshotOptions = {}): Promise<void> {
    const { pid } = this.handle;
    const scratch = scratchOf(this.handle, this.#parts.notes?.hasOwnRoot ?? false);
    await saveSnapshot(this.#control(), files, { ...options, pid, scratch });
  }

  async limitDisks(limits: DiskLimits): Promise<void> {
    await limitDrives(this.#control(), limits);
  }

  async growDrive(path: string, size_bytes: number): Promise<number> {
    return await growDrive(this.#control(), { path, pid: this.handle.pid }, size_bytes);
  }

  async resume(): Promise<void> {
    await this.#control().execute("cont");
  }

  release(): void {
    this.#process.release();
  }

  #control(): Qmp {
    this.#process.assertRunning();
    if (this.#parts.qmp) return this.#parts.qmp;
    throw new BangerError("unavailable", "Cannot control the machine: no response from QEMU", {
      hint: "Kill the machine and start it again: banger vm kill",
    });
  }

  #explain(end: ProcessEnd): ExitReason {
    const { events, notes, goodbye } = this.#parts;
    return exitReason({
      ...end,
      shutdown: events.shutdown,
      word: this.#goodbye.word,
      isHeard: notes?.saysGoodbye === true && goodbye !== undefined,
      stderr: notes ? readTail(notes.logPath, notes.logStart_bytes) : "",
    });
  }

  #close(): void {
    this.#agent?.destroy();
    this.#goodbye.close();
    this.#parts.qmp?.close();
  }
}
