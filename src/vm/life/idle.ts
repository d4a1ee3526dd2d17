/** Tracks whether a machine is in use, and how long it has been idle. */
import type { MachineLink } from "./machine-link.ts";

const ASK_TIMEOUT_MS = 5000;
/** The session that a machine's own command is: to run it is no use that somebody makes of the machine. */
export const COMMAND_SESSION = "command";

/** A clock that nobody sets, unlike the time of day. */
const now_ms = (): number => performance.now();

export class IdleTracker {
  #holders = 0;
  #idleSince_ms = now_ms();

  /** Counts a command, a session or a connection into the machine until it is disposed of. */
  hold(): Disposable {
    this.#holders++;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#holders--;
        this.touch();
      },
    };
  }

  /** Something short was done with it now. */
  touch(): void {
    this.#idleSince_ms = now_ms();
  }

  /** Holds it until `over` settles. */
  holdUntil(over: Promise<unknown>): void {
    const held = this.hold();
    const release = (): void => held[Symbol.dispose]();
    over.then(release, release);
  }

  /** 0 while it is used. */
  idle_ms(): number {
    return this.#holders > 0 ? 0 : now_ms() - this.#idleSince_ms;
  }
}

/** Whether something goes on inside: a transfer, or a session, with or without somebody watching it. */
export async function isBusyInside(running: MachineLink): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
    const agent = await running.agent(signal);
    const { streams } = agent;
    const sessions = (await agent.sessions.list({ signal })).filter(({ status }) => !status);
    const ofUsers = sessions.filter(({ name }) => name !== COMMAND_SESSION);
    // The daemon follows the command by one stream.
    return ofUsers.length > 0 || streams > sessions.length - ofUsers.length + running.ownStreams;
  } catch {
    // One that does not answer is used by nobody.
    return false;
  }
}
