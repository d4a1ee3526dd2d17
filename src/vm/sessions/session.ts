/**
 * One session as the daemon holds it: it follows the output in the guest into the log, from the offset
 * that the log has reached, for as long as the machine runs, and records how the session ended. Input goes
 * in one after another, each from the offset that the guest has taken.
 */
import { existsSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import type { TerminalSize } from "#api/exec.ts";
import type { Session as ApiSession } from "#api/session.ts";
import { onAbort } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import type { Agent } from "#guest/agent.ts";
import type { SessionInfo } from "#guest/session.ts";
import { SessionLog } from "./log.ts";
import { type SessionRecord, writeRecord } from "./record.ts";

const log = getLogger(["banger", "session"]);

/** Between two tries to reach a machine that is there and does not answer. */
const RETRY_PAUSE_MS = 500;

/** The machine that it runs in. */
export interface Host {
  id: string;
  name: string;
  /** Fails with `invalid_state` when the machine does not run, `not_found` when it is no more. */
  agent(signal?: AbortSignal): Promise<Agent>;
  /** The same, but waits until a machine that is suspended or paused runs again. */
  agentOnceAwake(signal?: AbortSignal): Promise<Agent>;
}

export class Session {
  readonly log: SessionLog;
  readonly #host: Host;
  readonly #folder: string;
  readonly #abort = new AbortController();
  #record: SessionRecord;
  #ended = Promise.withResolvers<void>();
  #sending: Promise<unknown> = Promise.resolve();
  /** Input that the guest has taken, as far as it is known. */
  #inputOffset: number | undefined;

  constructor(host: Host, folder: string, record: SessionRecord) {
    this.#host = host;
    this.#folder = folder;
    this.#record = record;
    this.log = new SessionLog(folder);
    if (this.isOver) this.#ended.resolve();
  }

  get isOver(): boolean {
    return this.#record.state === "ended" || this.#record.state === "lost";
  }

  get exit(): SessionRecord["exit"] {
    return this.#record.exit;
  }

  /** Resolves when it has ended and all of its output is in the log. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  toApi(): ApiSession {
    const { start, end, missing_bytes } = this.log;
    return {
      ...this.#record,
      vm: this.#host.name,
      outputStart_bytes: start,
      outputEnd_bytes: end,
      lost_bytes: missing_bytes,
    };
  }

  change(change: Partial<SessionRecord>): void {
    this.#record = { ...this.#record, ...change };
    // A machine that was removed has taken its sessions along.
    if (existsSync(this.#folder)) writeRecord(this.#folder, this.#record);
  }

  /** Runs until the session is over, or `release` is called. */
  async follow(): Promise<void> {
    const { name } = this.#record;
    while (!this.isOver && !this.#abort.signal.aborted) {
      try {
        const agent = await this.#host.agentOnceAwake(this.#abort.signal);
        this.#finish(await this.#copy(agent));
        // All that it said is here: the guest need not keep it.
        await agent.sessions.remove(name).catch(() => {});
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        const code = error instanceof BangerError ? error.code : "internal";
        log.debug("{vm}/{name}: {message}", {
          vm: this.#host.name,
          name,
          message: messageOf(error),
        });
        // The guest knows no such session, or there is no guest any more.
        if (code === "not_found" || code === "invalid_state") this.#lose();
        else await Bun.sleep(RETRY_PAUSE_MS);
      }
    }
  }

  /** Lets go of it without ending it. */
  release(): void {
    this.#abort.abort();
    this.log.close();
    this.log.wake();
  }

  /** Output from `offset` on; with `follow` until the session is over. */
  async *read(options: {
    offset: number;
    follow: boolean;
    signal: AbortSignal;
  }): AsyncGenerator<{ offset: number; bytes: Uint8Array }> {
    const { signal } = options;
    using _ = onAbort(signal, () => this.log.wake());
    for (let at = options.offset; !signal.aborted; ) {
      const { grown } = this.log;
      const chunk = this.log.read(at);
      if (chunk) {
        at = chunk.offset + chunk.bytes.length;
        yield chunk;
      } else if (!options.follow || this.isOver || this.#abort.signal.aborted) return;
      else await grown;
    }
  }

  /** A connection that is lost meanwhile neither loses nor repeats a byte. */
  async send(data: Uint8Array, signal?: AbortSignal): Promise<void> {
    const turn = this.#sending.then(() => this.#send(data, signal));
    this.#sending = turn.catch(() => {});
    await turn;
  }

  async closeInput(signal?: AbortSignal): Promise<void> {
    const turn = this.#sending.then(() =>
      this.#ask((agent) => agent.sessions.closeInput(this.#record.name, { signal }), signal),
    );
    this.#sending = turn.catch(() => {});
    await turn;
  }

  async signal(signal: string, options: { isForLeader?: boolean } = {}): Promise<void> {
    await this.#ask((agent) => agent.sessions.signal(this.#record.name, signal, options));
  }

  async resize(size: TerminalSize): Promise<void> {
    await this.#ask((agent) => agent.sessions.resize(this.#record.name, size));
  }

  async #send(data: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const { name } = this.#record;
    for (;;) {
      try {
        await this.#ask(async (agent) => {
          this.#inputOffset ??= (await agent.sessions.info(name, { signal })).inputOffset;
          const offset = this.#inputOffset;
          this.#inputOffset = await agent.sessions.send(name, data, { offset, signal });
        }, signal);
        return;
      } catch (error) {
        const isLost = error instanceof BangerError && error.code === "unavailable";
        if (isLost && !signal?.aborted) continue;
        // How much of it was taken is not known.
        this.#inputOffset = undefined;
        throw error;
      }
    }
  }

  async #ask<T>(work: (agent: Agent) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.isOver) throw this.#over();
    try {
      return await work(await this.#host.agent(signal));
    } catch (error) {
      const isGone = error instanceof BangerError && error.code === "not_found";
      throw isGone ? this.#over() : error;
    }
  }

  #over(): BangerError {
    const { name } = this.#record;
    return new BangerError("invalid_state", `Cannot reach session "${name}": it has ended`, {
      hint: `Show its output with: banger vm session logs ${this.#host.name} ${name}`,
    });
  }

  async #copy(agent: Agent): Promise<SessionInfo> {
    const { name } = this.#record;
    const info = await agent.sessions.info(name, { signal: this.#abort.signal });
    if (this.#record.state === "starting") this.change({ state: "running", pid: info.pid });
    const chunks = agent.sessions.attach(name, {
      offset: this.log.end,
      signal: this.#abort.signal,
    });
    for (;;) {
      const { done, value } = await chunks.next();
      if (done) return value;
      if (existsSync(this.#folder)) this.log.append(value);
    }
  }

  #finish({ status }: SessionInfo): void {
    this.change({
      state: "ended",
      endedAt: new Date().toISOString(),
      exit: status,
    });
    this.#conclude();
  }

  #lose(): void {
    this.change({ state: "lost", endedAt: new Date().toISOString() });
    this.#conclude();
  }

  #conclude(): void {
    this.log.close();
    this.log.wake();
    this.#ended.resolve();
  }
}
