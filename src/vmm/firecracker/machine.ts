/** One running Firecracker, started or adopted: its streams and its control. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { cancelled } from "#base/abort.ts";
import { assert } from "#base/assert.ts";
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
import { endedError, MachineProcess, type ProcessEnd } from "#vmm/machine-process.ts";
import type { Child } from "#vmm/process.ts";
import { type ApiRequest, callApi } from "./api.ts";
import { limitRequests } from "./configuration.ts";
import { exitReason } from "./exit.ts";
import { hostFiles, type Sockets } from "./layout.ts";
import { emptyWhenLarge } from "./log-size.ts";
import { clearRuntime, type Notes } from "./notes.ts";
import { saveSnapshot } from "./snapshot.ts";
import { connectGuest, type GuestListener, listenToGuest } from "./vsock.ts";

/** Where the guest's agent listens. */
export const AGENT_PORT = 1024;
/** Where the guest says goodbye, on this side. */
export const GOODBYE_PORT = 1025;
const RETRY_MIN_MS = 10;
const RETRY_MAX_MS = 200;
/**
 * Before the guest has a driver for its vsock, Firecracker takes a connection and its CONNECT, and stays
 * silent for good: it answers neither then nor later. So one that is silent is given up for another, after
 * a fifth of the time that has gone by, which is how much later than it could the agent is found.
 */
const SILENCE_MIN_MS = 50;
const SILENCE_MAX_MS = 5000;
const SILENCE_SHARE = 0.2;
/** It writes all of the memory to a disk, and waits for that. */
const SNAPSHOT_TIMEOUT_MS = 10 * 60_000;

/** Who hears the guest's last word. */
export interface GoodbyeListener {
  goodbye: Goodbye;
  listener: GuestListener;
}

export async function listenForGoodbye(sockets: Sockets): Promise<GoodbyeListener> {
  const goodbye = new Goodbye();
  const listener = await listenToGuest(sockets.vsock, GOODBYE_PORT, (socket) =>
    goodbye.listen(socket),
  );
  return { goodbye, listener };
}

export interface MachineParts {
  handle: MachineHandle;
  sockets: Sockets;
  notes: Notes | undefined;
  /** Undefined for an adopted machine. */
  child: Child | undefined;
  goodbye: GoodbyeListener | undefined;
  /** For each request; default 60,000. */
  requestTimeout_ms?: number | undefined;
}

export class FirecrackerMachine implements Machine {
  readonly handle: MachineHandle;
  /** Firecracker has a keyboard on x86 only; it is heard where the guest has a driver for it. */
  readonly sendCtrlAltDel = process.arch === "x64" ? () => this.#pressCtrlAltDel() : undefined;
  readonly snapshot: Machine["snapshot"];
  readonly #parts: MachineParts;
  readonly #process: MachineProcess;
  /** Fires when the machine has ended or is let go: nobody shall wait for it any longer. */
  readonly #done = new AbortController();
  readonly #listeners = new Set<GuestListener>();
  #agent: Socket | undefined;
  #attempt: AbortController | undefined;
  /** The keys by which a guest reboots were pressed. */
  #isAskedToReboot = false;

  constructor(parts: MachineParts) {
    const { handle, child, notes, goodbye } = parts;
    this.handle = handle;
    this.#parts = parts;
    if (goodbye) this.#listeners.add(goodbye.listener);
    this.snapshot = notes?.snapshot && ((files, options) => this.#save(files, options));
    this.#process = new MachineProcess(
      { identity: handle, child, notes },
      {
        lastWords: async () => await goodbye?.goodbye.complete(),
        explain: (end) => this.#explain(end),
        close: () => this.#close(),
        clear: () => clearRuntime(handle.runtimeDir),
        boundLogs() {
          emptyWhenLarge(hostFiles(handle.runtimeDir).log);
        },
      },
    );
  }

  get exited(): Promise<ExitReason> {
    return this.#process.exited;
  }

  /** Resolves once the guest's agent listens; until then it is asked again and again. */
  async connectAgent(signal?: AbortSignal): Promise<Duplex> {
    this.#attempt?.abort();
    this.#agent?.destroy();
    const attempt = new AbortController();
    this.#attempt = attempt;
    const signals = [attempt.signal, this.#done.signal, ...(signal ? [signal] : [])];
    const socket = await this.#dial(AbortSignal.any(signals), signal);
    this.#agent = socket;
    return socket;
  }

  async kill(): Promise<void> {
    await this.#process.kill();
  }

  async pause(): Promise<void> {
    await this.#call({ method: "PATCH", path: "/vm", body: { state: "Paused" } });
  }

  async resume(): Promise<void> {
    await this.#call({ method: "PATCH", path: "/vm", body: { state: "Resumed" } });
  }

  async limitDisks(limits: DiskLimits): Promise<void> {
    const drives = this.#parts.notes?.drives ?? 0;
    for (const request of limitRequests(drives, limits)) await this.#call(request);
  }

  /** Takes connections that the guest makes to `port` of the host, until the machine ends. */
  async listen(port: number, onConnection: (socket: Socket) => void): Promise<GuestListener> {
    this.#process.assertRunning();
    const listener = await listenToGuest(this.#parts.sockets.vsock, port, onConnection);
    this.#listeners.add(listener);
    return listener;
  }

  release(): void {
    this.#process.release();
  }

  async #dial(any: AbortSignal, caller: AbortSignal | undefined): Promise<Socket> {
    const from_ms = performance.now();
    for (let pause_ms = RETRY_MIN_MS; ; ) {
      this.#throwIfDone(any, caller);
      const share_ms = (performance.now() - from_ms) * SILENCE_SHARE;
      const timeout_ms = Math.min(Math.max(share_ms, SILENCE_MIN_MS), SILENCE_MAX_MS);
      const options = { signal: any, timeout_ms: Math.round(timeout_ms) };
      try {
        return await connectGuest(this.#parts.sockets.vsock, AGENT_PORT, options);
      } catch (error) {
        this.#throwIfDone(any, caller);
        const code = error instanceof BangerError ? error.code : undefined;
        if (code !== "unavailable" && code !== "timeout") throw error;
        if (code === "timeout") continue;
      }
      await sleep(pause_ms, undefined, { ref: false });
      pause_ms = Math.min(pause_ms * 2, RETRY_MAX_MS);
    }
  }

  #throwIfDone(any: AbortSignal, caller: AbortSignal | undefined): void {
    if (this.#done.signal.aborted) throw endedError();
    if (caller?.aborted) throw cancelled();
    if (any.aborted) {
      throw new BangerError("cancelled", "cancelled: replaced by a newer connection to the agent");
    }
  }

  async #save(files: Snapshot, { signal: caller, onPause }: SnapshotOptions = {}): Promise<void> {
    const { notes, handle, sockets } = this.#parts;
    assert(notes?.snapshot, "a machine that can be saved has notes");
    const done = this.#done.signal;
    await saveSnapshot(files, {
      pid: handle.pid,
      origin: notes.origin,
      pause: () => {
        onPause?.();
        return this.pause();
      },
      apiSocket: sockets.api,
      type: notes.snapshot,
      logPath: notes.logPath,
      jailedRuntimeDir: notes.jail && handle.runtimeDir,
      timeout_ms: SNAPSHOT_TIMEOUT_MS,
      signal: caller ? AbortSignal.any([caller, done]) : done,
    });
    // The guest is told that its connections are over, when it goes on as well as when it is restored.
    this.#agent?.destroy();
  }

  async #pressCtrlAltDel(): Promise<void> {
    const body = { action_type: "SendCtrlAltDel" };
    await this.#call({ method: "PUT", path: "/actions", body });
    this.#isAskedToReboot = true;
  }

  async #call(request: ApiRequest): Promise<void> {
    this.#process.assertRunning();
    const { sockets, requestTimeout_ms } = this.#parts;
    await callApi(sockets.api, request, {
      signal: this.#done.signal,
      timeout_ms: requestTimeout_ms,
    });
  }

  #explain(end: ProcessEnd): ExitReason {
    const { notes, handle, goodbye: heard } = this.#parts;
    return exitReason({
      ...end,
      word: heard?.goodbye.word ?? (this.#isAskedToReboot ? "leaving" : undefined),
      isHeard: notes?.saysGoodbye === true && heard !== undefined,
      log: notes ? logOf(handle.runtimeDir, notes) : "",
    });
  }

  #close(): void {
    this.#done.abort();
    this.#agent?.destroy();
    for (const listener of this.#listeners) void listener.close();
  }
}

/** What Firecracker said of this boot: its output, and its log where that is a file of its own. */
export function logOf(runtimeDir: string, notes: Notes): string {
  const output = readTail(notes.logPath, notes.logStart_bytes);
  return `${readTail(hostFiles(runtimeDir).log).replaceAll("\0", "")}${output}`;
}
