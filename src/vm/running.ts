/** One machine that runs: its monitor's process and the connection to the agent inside. */
import { getLogger } from "@logtape/logtape";
import { BangerError, messageOf } from "#base/error.ts";
import { type Agent, connectAgent } from "#guest/agent.ts";
import type { ExitReason, Machine } from "#vmm/driver.ts";
import { syncClock } from "./clock.ts";

const log = getLogger(["banger", "vm"]);

const CONNECT_TIMEOUT_MS = 120_000;
/** From the end of the agent's pipe to that of the process. */
const EXIT_GRACE_MS = 3000;

export class RunningVm {
  readonly machine: Machine;
  /** Set as soon as a user does something inside. */
  isVisited = false;
  #agent: Promise<Agent> | undefined;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  get exited(): Promise<ExitReason> {
    return this.machine.exited;
  }

  /** The agent's connection, made anew when it was lost; ends early when the machine does. */
  async agent(signal?: AbortSignal): Promise<Agent> {
    this.#agent ??= this.#connect(signal);
    const agent = this.#agent;
    const forget = (): void => {
      if (this.#agent === agent) this.#agent = undefined;
    };
    agent.then(({ closed }) => closed.then(forget), forget);
    return await agent;
  }

  /** Waits for `work`, but no longer than the machine lives; its end is then the error. */
  async whileAlive<T>(work: Promise<T>): Promise<T> {
    const ended = this.machine.exited.then((reason) => {
      throw new EndedEarly(reason);
    });
    ended.catch(() => {});
    try {
      return await Promise.race([work, ended]);
    } catch (error) {
      // A dying machine breaks its pipe first; what the user needs to hear is why it died.
      const isLostPipe = error instanceof BangerError && error.code === "unavailable";
      if (isLostPipe) await Promise.race([ended, Bun.sleep(EXIT_GRACE_MS)]);
      throw error;
    }
  }

  async #connect(signal: AbortSignal | undefined): Promise<Agent> {
    const pipe = await this.whileAlive(this.machine.connectAgent(signal));
    const connecting = connectAgent(pipe, {
      timeout_ms: CONNECT_TIMEOUT_MS,
      ...(signal ? { signal } : {}),
    });
    try {
      const agent = await this.whileAlive(connecting);
      // It may have been away for longer than the connection: the host slept, or the machine was kept.
      void agent.closed.then(() => tellWrongdoing(agent));
      syncClock(agent).catch((late) => log.debug("clock: {message}", { message: messageOf(late) }));
      return agent;
    } catch (error) {
      connecting.catch((late) => log.debug("agent: {message}", { message: messageOf(late) }));
      pipe.destroy();
      throw error;
    }
  }
}

/** A connection that is lost is ordinary; a guest that breaks the protocol is worth a look. */
function tellWrongdoing({ failure }: Agent): void {
  if (failure?.code === "guest") log.warn("{message}", { message: failure.message });
}

/** The machine ended before it was of use. */
export class EndedEarly extends BangerError {
  readonly reason: ExitReason;

  constructor(reason: ExitReason) {
    super("guest", `The machine ended: ${reason.kind}`);
    this.reason = reason;
  }
}
