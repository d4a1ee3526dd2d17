/**
 * The command of a machine in direct mode, as `docker run -d` has one. It is a session of the machine, so that
 * it outlives the daemon; its output is the machine's log, and its end is the machine's.
 */
import { getLogger } from "@logtape/logtape";
import type { ImageConfig } from "#api/image.ts";
import { aborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { exitCodeOf, signalNumber } from "#guest/exec.ts";
import { COMMAND_SESSION } from "#vm/life/idle.ts";
import type { RunningMachine } from "#vm/life/running-machines.ts";
import { inBackground } from "#vm/life/schedule.ts";
import type { VmDeps } from "./deps.ts";
import { lastLines } from "./logs.ts";
import { getVm } from "./records.ts";
import type { Session } from "./sessions/session.ts";
import type { Sessions } from "./sessions/sessions.ts";

const log = getLogger(["banger", "vm"]);

/** Of the run before: what it said as it ended is what one wants to know of it. */
const PREVIOUS_SESSION = "command.previous";
const LOG_SHOWN_MAX_BYTES = 4 * MiB;
/** Until somebody attaches to it with one of another size. */
const DETACHED_TERMINAL = { columns: 80, rows: 24 };
const KILLED_STATUS = 128 + 9;

export interface CommandLogOptions {
  tail?: number | undefined;
  follow?: boolean | undefined;
  /** Without what the run before has printed. */
  isCurrent?: boolean | undefined;
  signal: AbortSignal;
}

/** The machines that the commands run in. */
interface Machines {
  running(id: string): RunningMachine | undefined;
  /** The command has ended, and the machine with it. */
  end(id: string, running: RunningMachine): Promise<void>;
}

export class MachineCommands {
  readonly #deps: VmDeps;
  readonly #sessions: Sessions;
  readonly #machines: Machines;

  constructor(deps: VmDeps, sessions: Sessions, machines: Machines) {
    this.#deps = deps;
    this.#sessions = sessions;
    this.#machines = machines;
  }

  /** The machine is up. Where it came from memory the command runs already, like its other sessions. */
  async begin(id: string, signal?: AbortSignal): Promise<void> {
    const { spec, runtime } = getVm(this.#deps.db, id);
    const { command, commandOptions } = spec;
    if (runtime?.isRestored) {
      await this.#sessions.takeOver(id, signal);
      if (this.#find(id, COMMAND_SESSION)?.isOver === false) return this.#watch(id);
    }
    const { terminal, ...options } = commandOptions ?? {};
    if (!command) return;
    const before = this.#find(id, COMMAND_SESSION);
    if (before) {
      await before.ended;
      this.#sessions.renameOver(id, { from: COMMAND_SESSION, to: PREVIOUS_SESSION });
    }
    await this.#sessions.start(
      {
        ...{ vm: id, session: COMMAND_SESSION, argv: [...command], makesCwd: true },
        ...{ ...options, ...(terminal ? { terminal: DETACHED_TERMINAL } : {}) },
      },
      signal,
    );
    this.#watch(id);
  }

  /** An earlier daemon has begun it, or had no time to. */
  async resume(id: string): Promise<void> {
    const { startedAt } = getVm(this.#deps.db, id);
    const session = this.#find(id, COMMAND_SESSION);
    const isOfThisRun = session && session.toApi().startedAt >= (startedAt ?? "");
    if (isOfThisRun) this.#watch(id);
    else await this.begin(id);
  }

  /** Sends the image's stop signal, and waits for the command to end. */
  async stop(
    id: string,
    { grace_ms, signal }: { grace_ms: number; signal?: AbortSignal | undefined },
  ): Promise<void> {
    const vm = getVm(this.#deps.db, id);
    const session = vm.spec.command && this.#find(id, COMMAND_SESSION);
    if (!session || session.isOver) return;
    const { config } = this.#deps.images.show(vm.imageId);
    await session.signal(stopSignal(config), { isForLeader: true }).catch(() => {});
    const late = AbortSignal.any([AbortSignal.timeout(grace_ms), ...(signal ? [signal] : [])]);
    await Promise.race([session.ended, aborted(late)]);
    const running = this.#machines.running(id);
    if (running && !session.isOver && !signal?.aborted) running.status = KILLED_STATUS;
  }

  /** Not before its first run. */
  hasLogs(id: string): boolean {
    return [PREVIOUS_SESSION, COMMAND_SESSION].some((name) => this.#find(id, name));
  }

  async *logs(id: string, options: CommandLogOptions): AsyncGenerator<{ text: string }> {
    const { tail, follow, isCurrent, signal } = options;
    const names = isCurrent ? [COMMAND_SESSION] : [PREVIOUS_SESSION, COMMAND_SESSION];
    const current = this.#find(id, COMMAND_SESSION);
    const decoder = new TextDecoder();
    let shown = Buffer.alloc(0);
    let at = 0;
    for (const session of names.flatMap((name) => this.#find(id, name) ?? [])) {
      const offset = Math.max(0, session.log.end - LOG_SHOWN_MAX_BYTES);
      for await (const chunk of session.read({ offset, follow: false, signal })) {
        shown = Buffer.concat([shown, chunk.bytes]).subarray(-LOG_SHOWN_MAX_BYTES);
        at = chunk.offset + chunk.bytes.length;
      }
      if (session !== current) at = 0;
    }
    const bytes = tail === undefined ? shown : lastLines(shown, tail);
    yield { text: decoder.decode(bytes, { stream: true }) };
    if (!follow || !current) return;
    for await (const { bytes: more } of current.read({ offset: at, follow: true, signal })) {
      yield { text: decoder.decode(more, { stream: true }) };
    }
  }

  #watch(id: string): void {
    const running = this.#machines.running(id);
    const session = this.#find(id, COMMAND_SESSION);
    if (!running || !session) return;
    void session.ended.then(() => {
      if (!session.exit || this.#machines.running(id) !== running) return;
      running.status = exitCodeOf(session.exit);
      log.info("the command of {id} ended with status {status}", { id, status: running.status });
      inBackground(id, this.#machines.end(id, running));
    });
  }

  #find(id: string, name: string): Session | undefined {
    try {
      return this.#sessions.find(id, name);
    } catch (error) {
      if (error instanceof BangerError && error.code === "not_found") return undefined;
      throw error;
    }
  }
}

/** SIGTERM where the image names none, or none that there is. */
function stopSignal({ stopSignal: wanted = "SIGTERM" }: ImageConfig): string {
  try {
    signalNumber(wanted);
    return wanted;
  } catch {
    return "SIGTERM";
  }
}
