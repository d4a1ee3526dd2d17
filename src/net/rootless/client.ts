/** Client of the helper in the network namespace: one process, started on first use. */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { Decision } from "#api/network.ts";
import { abortError, onAbort, throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { which } from "#base/run.ts";
import { parseQuery } from "#net/dns/query.ts";
import { askUpstream } from "#net/dns/upstream.ts";
import { hostAddresses } from "#net/policy/policies.ts";
import { daemonResolvers } from "#net/resolvers.ts";
import {
  type FromHelper,
  fromHelper,
  type HelperCall,
  type HelperConfig,
  type ToHelper,
  type UserQuestion,
} from "./protocol.ts";
import { enterCommand } from "./uplink.ts";

const UPSTREAM_TIMEOUT_MS = 10_000;

export interface HelperOptions extends Omit<HelperConfig, "hostAddresses"> {
  /** The helper's argv: a program that runs `serveNetwork`. */
  program: readonly string[];
  /** Gets what the helper's DNS server and proxy have decided. */
  decisions?: ((decision: Decision) => void) | undefined;
  /** Asks the user; without it the answer is a no. */
  askUser?: ((question: UserQuestion, signal: AbortSignal) => Promise<boolean>) | undefined;
}

interface Answer {
  ok: unknown;
  /** No machine is connected any more. */
  isEmpty: boolean;
}

type Child = Bun.Subprocess<"pipe", "pipe", "inherit">;

export class NetworkHelper {
  /** A process in the namespaces that it is in. */
  readonly namespacePid: number;
  readonly #child: Child;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #closing = new AbortController();
  readonly #questions = new Map<number, AbortController>();
  readonly #decisions: HelperOptions["decisions"];
  readonly #askUser: HelperOptions["askUser"];
  #next = 0;

  constructor(namespacePid: number, { program, decisions, askUser, ...config }: HelperOptions) {
    this.#decisions = decisions;
    this.#askUser = askUser;
    this.namespacePid = namespacePid;
    const [enter = "", ...into] = enterCommand(namespacePid);
    this.#child = Bun.spawn([which(enter) ?? enter, ...into, ...program], {
      stdio: ["pipe", "pipe", "inherit"],
      // Ctrl-C in a terminal must only reach the daemon; the helper exits when the daemon does.
      detached: true,
    });
    this.#child.unref();
    this.#send({ ...config, hostAddresses: ownAddresses() });
    const lines = createInterface({ input: Readable.fromWeb(this.#child.stdout as never) });
    lines.on("line", (line) => this.#take(line));
    void this.#child.exited.then((status) => this.#end(status));
  }

  get isRunning(): boolean {
    return !this.#closing.signal.aborted && this.#child.exitCode === null;
  }

  async call(call: HelperCall, signal?: AbortSignal): Promise<Answer> {
    throwIfAborted(signal);
    if (!this.isRunning) throw ended(this.#child.exitCode);
    const id = this.#next++;
    const waiting = Promise.withResolvers<Answer>();
    this.#waiting.set(id, waiting);
    using _ = onAbort(signal, () => this.#send({ cancel: id }));
    this.#send({ id, call });
    try {
      return await waiting.promise;
    } catch (error) {
      // The reason is this side's to tell.
      if (signal?.aborted) throw abortError(signal);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  #take(line: string): void {
    let message: FromHelper;
    try {
      message = fromHelper.parse(JSON.parse(line));
    } catch {
      // For example another version, after the program was replaced: the next call restarts it.
      void this.close();
      return;
    }
    if ("ask" in message) {
      void this.#ask(message.ask, Buffer.from(message.query, "base64"));
      return;
    }
    if ("question" in message) {
      void this.#question(message.question, message);
      return;
    }
    if ("withdrawn" in message) {
      this.#questions.get(message.withdrawn)?.abort();
      return;
    }
    if ("decision" in message) {
      this.#decisions?.(message.decision);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ("error" in message) {
      const { code, message: text, hint } = message.error;
      waiting?.reject(new BangerError(code, text, { hint }));
    } else waiting?.resolve(message);
  }

  async #ask(asked: number, message: Buffer): Promise<void> {
    const query = parseQuery(message);
    const signal = AbortSignal.any([
      this.#closing.signal,
      AbortSignal.timeout(UPSTREAM_TIMEOUT_MS),
    ]);
    const answer =
      query && !("rcode" in query)
        ? await askUpstream(query, daemonResolvers(), signal).catch(() => undefined)
        : undefined;
    const text = answer && Buffer.from(answer).toString("base64");
    this.#send({ asked, answer: text, hostAddresses: ownAddresses() });
  }

  async #question(answered: number, question: UserQuestion): Promise<void> {
    const abort = new AbortController();
    this.#questions.set(answered, abort);
    const signal = AbortSignal.any([this.#closing.signal, abort.signal]);
    const isAllowed = (await this.#askUser?.(question, signal).catch(() => false)) ?? false;
    this.#questions.delete(answered);
    this.#send({ answered, isAllowed });
  }

  #send(message: ToHelper | HelperConfig): void {
    try {
      this.#child.stdin.write(`${JSON.stringify(message)}\n`);
      void this.#child.stdin.flush();
    } catch {
      // It has exited: all pending calls fail.
    }
  }

  #end(status: number): void {
    this.#closing.abort();
    for (const { reject } of this.#waiting.values()) reject(ended(status));
    this.#waiting.clear();
  }
}

function ended(status: number | null): BangerError {
  return new BangerError(
    "unavailable",
    `Cannot change the network: the helper in its namespace has ended (status ${status})`,
    { hint: "Check the host with: banger doctor" },
  );
}

function ownAddresses(): string[] {
  return [...hostAddresses()];
}
