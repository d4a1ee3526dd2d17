/** The web UI in the daemon: who is logged in, and the loopback address that is served for them. */
import { getLogger } from "@logtape/logtape";
import { BangerError, messageOf } from "#base/error.ts";
import type { Listeners } from "#daemon/serve/listeners.ts";
import { UiSessions } from "./sessions.ts";

const log = getLogger(["banger", "daemon"]);

export class WebUi {
  readonly sessions: UiSessions;
  readonly #listeners: Listeners;
  #listening: AsyncDisposable | undefined;

  constructor(path: string, listeners: Listeners) {
    this.sessions = new UiSessions(path);
    this.#listeners = listeners;
  }

  /** Serves what an earlier daemon has served, so that open pages connect again. */
  async resume(): Promise<void> {
    const { port, isAny } = this.sessions;
    if (port === undefined) return;
    if (!isAny) {
      this.sessions.port = undefined;
      return;
    }
    try {
      await this.#listen(port);
    } catch (error) {
      log.error("cannot serve the web UI: {message}", { message: messageOf(error) });
    }
  }

  async open(port: number | undefined): Promise<{ url: string; code: string }> {
    const url = this.#servedAt(port) ?? (await this.#listen(port));
    return { url, code: this.sessions.mint() };
  }

  /** Logs all browsers out, and stops serving what was served for them. */
  async close(): Promise<void> {
    this.sessions.endAll();
    const listening = this.#listening;
    this.#listening = undefined;
    await listening?.[Symbol.asyncDispose]();
  }

  /** An address of this host alone; browsers there need no certificate. */
  #servedAt(port: number | undefined): string | undefined {
    return this.#listeners
      .list()
      .map(({ url }) => url)
      .find((url) => {
        const { protocol, hostname, port: own } = new URL(url);
        const isLocal = protocol === "http:" && /^(127\.|\[::1\])/.test(hostname);
        return isLocal && (port === undefined || Number(own || 80) === port);
      });
  }

  async #listen(port: number | undefined): Promise<string> {
    const { url, listening } = await this.#start(port);
    // Of another port before.
    await this.#listening?.[Symbol.asyncDispose]();
    this.#listening = listening;
    this.sessions.port = Number(new URL(url).port || 80);
    return url;
  }

  async #start(port: number | undefined) {
    try {
      return await this.#listeners.openLocal(port);
    } catch (error) {
      // Of another program, or another user's daemon.
      const isTaken = error instanceof BangerError && error.code === "conflict";
      if (port !== undefined || !isTaken) throw error;
      return await this.#listeners.openLocal(0);
    }
  }
}
