/** The guest agent as the host uses it: one connection over one pipe, many streams. */
import type { Duplex } from "node:stream";
import { abortError, cancelled, onAbort, orAborted, throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { type PathChange, watchPath } from "./changes.ts";
import { type ConnectTarget, openConnection } from "./connect.ts";
import { Connection } from "./connection.ts";
import { type Datagrams, openDatagrams } from "./datagrams.ts";
import type { AgentEvent, EventListener } from "./event.ts";
import { type ExecRequest, type ExecStream, openExec } from "./exec.ts";
import { type Fields, FieldWriter } from "./fields.ts";
import { type GuestFiles, guestFiles } from "./files.ts";
import { whileFrozen } from "./freeze.ts";
import type { AgentHello } from "./hello.ts";
import { callProgram, type ProgramOptions } from "./program.ts";
import { AGENT_PATH, Kind, type KindCode, Tag } from "./protocol.ts";
import { type GuestRunResult, type RunInGuestOptions, runInGuest } from "./run.ts";
import { GuestSessions } from "./session.ts";
import {
  type GuestProcess,
  type GuestStats,
  type ListeningSocket,
  readPorts,
  readProcesses,
  readStats,
} from "./usage.ts";

const CONNECT_TIMEOUT_DEFAULT_MS = 30_000;
const CALL_TIMEOUT_DEFAULT_MS = 10_000;
const READY_TIMEOUT_DEFAULT_MS = 600_000;
/** With the hooks of the image, which have 30 s each. */
const SETTLE_TIMEOUT_MS = 300_000;
/** Of what a failed installation has printed. */
const SHOWN_LOG_LINES = 20;

export interface CallOptions {
  signal?: AbortSignal | undefined;
  timeout_ms?: number | undefined;
}

export interface Health {
  uptime_ms: number;
  /** The guest's clock. */
  time_unix_ns: bigint;
  memoryTotal_bytes: number;
  memoryAvailable_bytes: number;
  /** Of the last minute, times 1000. */
  load_milli: number;
  processes: number;
  /** Streams that are open beside this request. */
  streams: number;
}

export interface Agent {
  readonly hello: AgentHello;
  /** Resolves when the connection has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
  /** Why it has ended. */
  readonly failure: BangerError | undefined;
  /** How many commands, connections and requests are under way. */
  readonly streams: number;
  exec(request: ExecRequest, options?: { signal?: AbortSignal | undefined }): Promise<ExecStream>;
  /** Runs a command and collects its output. */
  run(argv: readonly string[], options?: RunInGuestOptions): Promise<GuestRunResult>;
  connect(target: ConnectTarget, options?: { signal?: AbortSignal | undefined }): Promise<Duplex>;
  /** A UDP port inside the guest; `onDatagram` gets what comes from there. */
  datagrams(
    target: { host: string; port: number },
    options: { onDatagram: (data: Uint8Array) => void; signal?: AbortSignal | undefined },
  ): Promise<Datagrams>;
  readonly files: GuestFiles;
  /** Ends when the path is gone; `recursive`: with all that is below it. */
  watch(
    path: string,
    options?: ProgramOptions & { recursive?: boolean },
  ): AsyncGenerator<PathChange>;
  readonly sessions: GuestSessions;
  /** Ends what runs and calls `use` while the writable layer's disk is clean; only in direct mode. */
  whileFrozen<T>(use: () => Promise<T>, options?: ProgramOptions): Promise<T>;
  health(options?: CallOptions): Promise<Health>;
  /** Who listens in the machine. */
  ports(options?: ProgramOptions): Promise<ListeningSocket[]>;
  stats(options?: ProgramOptions): Promise<GuestStats>;
  /** At most 4096. */
  processes(options?: ProgramOptions): Promise<GuestProcess[]>;
  /** Mounts, limits and swap; `steps` are those of guest/setup/setup.h. `guest`: one failed. */
  setUp(steps: readonly string[], options?: ProgramOptions): Promise<void>;
  setTime(unix_ns: bigint, options?: CallOptions): Promise<void>;
  /**
   * The running machine becomes the one of `record`, as `encodeBootRecord` gives it, its hooks included. What is
   * the same already is left alone, but for clock and entropy. Resolves to warnings.
   */
  assume(record: Uint8Array, options?: CallOptions): Promise<string[]>;
  /** Resolves when the guest has agreed, or is gone; it ends what runs and turns itself off. */
  shutdown(options?: CallOptions & { reboot?: boolean }): Promise<void>;
  /** Calls with the phases so far and then with each event; the result stops it. */
  onEvent(listener: EventListener): () => void;
  /** Resolves when the machine can be used; rejects with a `guest` error when its first boot failed. */
  waitReady(options?: CallOptions): Promise<void>;
  /** Ends the connection; what runs for it in the guest is hung up. */
  close(): void;
}

/**
 * Shakes hands with the agent at the other end of `pipe`, waiting for a machine that still boots.
 * The pipe belongs to the agent from here on, and is destroyed if that fails. Default 30,000 ms.
 */
export async function connectAgent(pipe: Duplex, options: CallOptions = {}): Promise<Agent> {
  const connection = new Connection(pipe);
  const timeout_ms = options.timeout_ms ?? CONNECT_TIMEOUT_DEFAULT_MS;
  const hello = await withTimeout(options, {
    timeout_ms,
    message: `timed out waiting for the guest agent after ${timeout_ms} ms`,
    work: (signal) => connection.shakeHands(signal),
  });
  return agentOf(connection, hello);
}

function agentOf(connection: Connection, hello: AgentHello): Agent {
  return {
    hello,
    closed: connection.closed,
    get failure() {
      return connection.failure;
    },
    get streams() {
      return connection.streams;
    },
    exec: (request, options) => openExec(connection, request, options),
    run: (argv, options) => runInGuest(connection, { argv, ...options }),
    connect: (target, options) => openConnection(connection, target, options),
    datagrams: (target, options) => openDatagrams(connection, target, options),
    files: guestFiles(connection),
    watch: (path, options) => watchPath(connection, path, options),
    sessions: new GuestSessions(connection),
    whileFrozen: (use, options) => whileFrozen(connection, use, options),
    async health(options) {
      return decodeHealth(await ask(connection, Kind.health, options));
    },
    ports: (options) => readPorts(connection, options),
    stats: (options) => readStats(connection, options),
    processes: (options) => readProcesses(connection, options),
    async setUp(steps, options) {
      const limits = { feature: "setup", outputMax_bytes: 0 };
      await callProgram(connection, ["setup", ...steps], { ...options, ...limits });
    },
    async setTime(unix_ns, options) {
      const fields = new FieldWriter().number(Tag.time_ns, unix_ns);
      await ask(connection, Kind.time, { ...options, fields });
    },
    async assume(record, options) {
      const fields = new FieldWriter().list(record);
      const answer = await ask(connection, Kind.identity, { ...options, fields });
      return answer.number(Tag.isUnsettled) ? await settle(connection, options) : [];
    },
    async shutdown(options) {
      const fields = new FieldWriter().number(Tag.reboot, options?.reboot ? 1 : 0);
      try {
        await ask(connection, Kind.shutdown, { ...options, fields });
      } catch (error) {
        // A machine that is off before its answer was read has done what it was asked to.
        const isGone = error instanceof BangerError && error.code === "unavailable";
        if (!isGone || error !== connection.failure) throw error;
      }
    },
    onEvent: (listener) => connection.events.listen(listener),
    waitReady: (options) => waitReady(connection, options),
    close: () =>
      connection.fail(new BangerError("cancelled", "connection to the guest agent closed")),
  };
}

/** The end of a change of identity: a line for each thing that went wrong. */
async function settle(connection: Connection, { signal }: CallOptions = {}): Promise<string[]> {
  const argv = [AGENT_PATH, "settle"];
  const { status, stdout } = await runInGuest(connection, {
    argv,
    signal,
    timeout_ms: SETTLE_TIMEOUT_MS,
  });
  const lines = new TextDecoder().decode(stdout).split("\n").filter(Boolean);
  const isWhole = "code" in status && status.code === 0;
  return isWhole ? lines : [...lines, "the guest agent did not complete the change of identity"];
}

/** A request whose answer is the end of its stream. */
function ask(
  connection: Connection,
  kind: KindCode,
  options: CallOptions & { fields?: FieldWriter } = {},
): Promise<Fields> {
  const timeout_ms = options.timeout_ms ?? CALL_TIMEOUT_DEFAULT_MS;
  return withTimeout(options, {
    timeout_ms,
    message: `timed out waiting for the guest agent after ${timeout_ms} ms`,
    work: async (signal) => {
      const fields = (options.fields ?? new FieldWriter()).number(Tag.kind, kind).finish();
      const stream = connection.open(fields, 0);
      using _ = onAbort(signal, () => stream.close(abortError(signal)));
      return await stream.ended;
    },
  });
}

function waitReady(connection: Connection, options: CallOptions = {}): Promise<void> {
  const timeout_ms = options.timeout_ms ?? READY_TIMEOUT_DEFAULT_MS;
  return withTimeout(options, {
    timeout_ms,
    message: `timed out waiting for the machine to become ready after ${timeout_ms} ms`,
    work: async (signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const stop = connection.events.listen((event: AgentEvent) => {
        if (event.kind !== "phase") return;
        if (event.phase === "ready") resolve();
        if (event.phase === "failed") reject(bootFailure(event));
      });
      try {
        await orAborted(Promise.race([promise, connection.closed]), signal);
        if (connection.failure) throw connection.failure;
      } finally {
        stop();
      }
    },
  });
}

function bootFailure(event: AgentEvent): BangerError {
  const [reason = "", ...log] = event.text.split("\n");
  const text = [reason || "no reason given", ...log.slice(-SHOWN_LOG_LINES)].join("\n");
  return new BangerError("guest", `first boot failed: ${text}`, {
    hint: "The machine is still running; debug it with: banger vm exec",
  });
}

interface TimedWork<T> {
  timeout_ms: number;
  message: string;
  work: (signal: AbortSignal) => Promise<T>;
}

/** Gives `work` a signal that fires with a BangerError at the timeout or when the caller's does. */
export async function withTimeout<T>(options: CallOptions, timed: TimedWork<T>): Promise<T> {
  throwIfAborted(options.signal);
  const ending = new AbortController();
  const timer = setTimeout(
    () => ending.abort(new BangerError("timeout", timed.message)),
    timed.timeout_ms,
  );
  using _ = onAbort(options.signal, () => ending.abort(cancelled()));
  try {
    return await timed.work(ending.signal);
  } finally {
    clearTimeout(timer);
  }
}

function decodeHealth(fields: Fields): Health {
  return {
    uptime_ms: fields.number(Tag.uptime_ms) ?? 0,
    time_unix_ns: fields.big(Tag.time_ns) ?? 0n,
    memoryTotal_bytes: fields.number(Tag.memoryTotal_bytes) ?? 0,
    memoryAvailable_bytes: fields.number(Tag.memoryAvailable_bytes) ?? 0,
    load_milli: fields.number(Tag.load_milli) ?? 0,
    processes: fields.number(Tag.processes) ?? 0,
    streams: fields.number(Tag.streams) ?? 0,
  };
}
