/** One machine that runs: its VMM's process and the connection to the agent inside. */
import type { Duplex } from "node:stream";
import { getLogger } from "@logtape/logtape";
import { BangerError, messageOf } from "#base/error.ts";
import { type Agent, connectAgent, withTimeout } from "#guest/agent.ts";
import type { ExitReason, Machine } from "#vmm/driver.ts";
import { keepClock } from "./clock.ts";

const log = getLogger(["banger", "vm"]);

/** Of a machine that is up. */
const CONNECT_TIMEOUT_MS = 120_000;
/** The longest that a timer takes. */
const NEVER_MS = 2 ** 31 - 1;
/** From the end of the agent's pipe to that of the process. */
const EXIT_GRACE_MS = 3000;

export class MachineLink {
  readonly machine: Machine;
  /** Set as soon as a user does something inside. */
  isVisited = false;
  /** Streams that are there although nobody does anything inside. */
  ownStreams = 0;
  #agent: Promise<Agent> | undefined;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  get exited(): Promise<ExitReason> {
    return this.machine.exited;
  }

  /**
   * The agent's connection, made anew when it was lost; ends early when the machine does. While it
   * boots the signal alone says how long that may take, unless `timeout_ms` does.
   */
  async agent(
    signal?: AbortSignal,
    {
      isBooting = false,
      timeout_ms = isBooting ? NEVER_MS : CONNECT_TIMEOUT_MS,
    }: { isBooting?: boolean; timeout_ms?: number } = {},
  ): Promise<Agent> {
    this.#agent ??= this.#connect(signal, timeout_ms);
    const agent = this.#agent;
    const forget = (): void => {
      if (this.#agent === agent) this.#agent = undefined;
    };
    agent.then(({ closed }) => closed.then(forget), forget);
    return await agent;
  }

  /** Ends the agent's connection, and what runs for it in the guest. */
  async close(): Promise<void> {
    const agent = await this.#agent?.catch(() => undefined);
    agent?.close();
    await agent?.closed;
  }

  /** Waits for `work`, but no longer than the machine lives; its end is then the error. */
  async whileAlive<T>(work: Promise<T>): Promise<T> {
    const ended = this.machine.exited.then((reason) => {
      throw new EarlyExit(reason);
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

  async #connect(signal: AbortSignal | undefined, timeout_ms: number): Promise<Agent> {
    const pipe = await this.whileAlive(this.#dial(signal, timeout_ms));
    const connecting = connectAgent(pipe, { timeout_ms, signal });
    try {
      const agent = await this.whileAlive(connecting);
      void agent.closed.then(() => tellWrongdoing(agent));
      keepClock(agent, this.machine.handle.accelerator);
      return agent;
    } catch (error) {
      connecting.catch((late) => log.debug("agent: {message}", { message: messageOf(late) }));
      pipe.destroy();
      throw error;
    }
  }

  async #dial(signal: AbortSignal | undefined, timeout_ms: number): Promise<Duplex> {
    const message = `timed out waiting for the guest agent after ${timeout_ms} ms`;
    const work = async (any: AbortSignal): Promise<Duplex> => {
      try {
        return await this.machine.connectAgent(any);
      } catch (error) {
        throw any.aborted ? any.reason : error;
      }
    };
    return await withTimeout({ signal }, { timeout_ms, message, work });
  }
}

/** A connection that is lost is ordinary; a guest that breaks the protocol is worth a look. */
function tellWrongdoing({ failure }: Agent): void {
  if (failure?.code === "guest") log.warn("{message}", { message: failure.message });
}

/** The machine ended before it was of use. */
export class EarlyExit extends BangerError {
  readonly reason: ExitReason;

  constructor(reason: ExitReason) {
    super("guest", `the machine stopped: ${reason.kind}`);
    this.reason = reason;
  }
}
