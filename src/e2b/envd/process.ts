/** One command in a sandbox, which outlives the request that has started it. */
import type { ExecExit, ExecRequest } from "#api/exec.ts";
import type { ExecConnection } from "#api/serve/exec-client.ts";
import { BangerError } from "#base/error.ts";
import { ConnectError } from "./connect.ts";
import { Subscription } from "./subscription.ts";
import type { Target } from "./target.ts";

export interface ProcessConfig {
  cmd: string;
  args: string[];
  envs: Record<string, string>;
  cwd?: string | undefined;
}

export interface ProcessStart {
  config: ProcessConfig;
  tag: string | undefined;
  exec: ExecRequest;
}

export class Process {
  readonly config: ProcessConfig;
  readonly tag: string | undefined;
  readonly isTerminal: boolean;
  /** Undefined until it runs. */
  pid: number | undefined;
  #connection: ExecConnection | undefined;
  readonly #readers = new Set<Subscription>();
  /** The last event, once it has ended. */
  #end: object | undefined;

  constructor({ config, tag, exec }: ProcessStart) {
    this.config = config;
    this.tag = tag;
    this.isTerminal = exec.terminal !== undefined;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Resolves when it runs; `onEnd` is called when it does not any more. */
  async start({ backend, vm }: Target, exec: ExecRequest, onEnd: () => void): Promise<void> {
    const connection = backend.exec(
      { kind: "exec", vm: vm.id, exec },
      {
        onStarted: (_, pid = 0) => {
          this.pid = pid;
          void this.#tell({ event: { start: { pid } } });
        },
        onStdout: (bytes) => this.#output(this.isTerminal ? "pty" : "stdout", bytes),
        onStderr: (bytes) => this.#output("stderr", bytes),
      },
    );
    await connection.started;
    this.#connection = connection;
    connection.exited.then(
      (exit) => this.#over(endEvent(exit)),
      (error: unknown) => this.#over(lostEvent(error), error),
    );
    void connection.exited.then(onEnd, onEnd);
  }

  /** Before it runs: from the start. Later: its pid, and what comes from now on. */
  subscribe(): Subscription {
    const reader = new Subscription();
    if (this.pid !== undefined) void reader.push({ event: { start: { pid: this.pid } } });
    if (this.#end) {
      void reader.push(this.#end);
      reader.end();
    } else this.#readers.add(reader);
    return reader;
  }

  unsubscribe(reader: Subscription): void {
    this.#readers.delete(reader);
    reader.leave();
  }

  async write(bytes: Uint8Array): Promise<void> {
    const isTaken = await this.#running().writeStdin(bytes);
    if (!isTaken) throw new ConnectError("failed_precondition", "the process takes no more input");
  }

  closeInput(): void {
    this.#running().endStdin();
  }

  resize(size: { columns: number; rows: number }): void {
    this.#running().resize(size);
  }

  signal(name: string): void {
    this.#running().signal(name);
  }

  #running(): ExecConnection {
    if (this.#connection && !this.#end) return this.#connection;
    throw new ConnectError("not_found", `process with pid ${this.pid} not found`);
  }

  #output(channel: "stdout" | "stderr" | "pty", bytes: Uint8Array): Promise<void> {
    const data = { [channel]: Buffer.from(bytes).toString("base64") };
    return this.#tell({ event: { data } }, bytes.length);
  }

  /** The slowest reader holds the command; without readers its output is lost. */
  async #tell(event: object, size = 0): Promise<void> {
    await Promise.all([...this.#readers].map((reader) => reader.push(event, size)));
  }

  #over(end: object, failure?: unknown): void {
    this.#end = end;
    for (const reader of this.#readers) {
      if (failure === undefined) void reader.push(end);
      reader.end(failure);
    }
    this.#readers.clear();
  }
}

const signals: Readonly<Record<string, string>> = {
  HUP: "hangup",
  INT: "interrupt",
  ABRT: "aborted",
  KILL: "killed",
  SEGV: "segmentation fault",
  PIPE: "broken pipe",
  TERM: "terminated",
};

/** As Go tells of processes, which E2B's agent is written in. */
export function endEvent(exit: ExecExit): object {
  if ("signal" in exit) {
    const name = exit.signal.replace(/^SIG/, "");
    const status = `signal: ${signals[name] ?? name.toLowerCase()}`;
    return { event: { end: { exitCode: -1, exited: false, status, error: status } } };
  }
  const status = `exit status ${exit.code}`;
  const error = exit.code === 0 ? {} : { error: status };
  return { event: { end: { exitCode: exit.code, exited: true, status, ...error } } };
}

function lostEvent(error: unknown): object {
  const text = error instanceof BangerError ? error.message : "connection lost";
  return { event: { end: { exitCode: -1, exited: false, status: text, error: text } } };
}
