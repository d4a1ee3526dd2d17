/** E2B's process service: commands and terminals in sandboxes. */
import { z } from "zod";
import { type ExecRequest, terminalSize } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import { ConnectError, parseMessage, readEnvelopes } from "./connect.ts";
import { Process, type ProcessConfig } from "./process.ts";
import type { Subscription } from "./subscription.ts";
import type { Guests, Target } from "./target.ts";

const BASH = "/bin/bash";
const SH = "/bin/sh";
/** How long a sandbox is taken to have no bash: it may be installed at any time. */
const NO_BASH_MS = 10_000;
/** Ended ones that a late Connect can still ask for. */
const ENDED_KEPT_MAX = 64;
const ENDED_KEPT_MS = 300_000;
const KEEPALIVE_MIN_S = 1;
const KEEPALIVE_DEFAULT_S = 50;

const size = z.object({ cols: z.int().min(0).optional(), rows: z.int().min(0).optional() });
const pty = z.object({ size: size.optional() });
export const startRequest = z.object({
  process: z.object({
    cmd: z.string().min(1),
    args: z.array(z.string()).optional(),
    envs: z.record(z.string(), z.string()).optional(),
    cwd: z.string().optional(),
  }),
  pty: pty.nullish(),
  tag: z.string().max(256).optional(),
  stdin: z.boolean().optional(),
});
const selector = z.object({ pid: z.int().optional(), tag: z.string().optional() });
export const selectRequest = z.object({ process: selector });
const input = z.object({ stdin: z.base64().optional(), pty: z.base64().optional() });
export const inputRequest = selectRequest.extend({ input });
export const updateRequest = selectRequest.extend({ pty: pty.nullish() });
export const signalRequest = selectRequest.extend({
  signal: z.union([z.string(), z.int()]).optional(),
});
const streamInput = z.union([
  z.object({ start: selectRequest }),
  z.object({ data: z.object({ input }) }),
  z.object({ keepalive: z.object({}).loose() }),
]);

const signals: Readonly<Record<string, string>> = {
  SIGNAL_SIGTERM: "TERM",
  SIGNAL_SIGKILL: "KILL",
  "15": "TERM",
  "9": "KILL",
};

export interface StreamOptions {
  timeout_ms: number | undefined;
  keepalive_s: number;
}

/** Of a client that wants to see that a silent stream is alive. */
export function keepaliveOf(request: Request): number {
  const seconds = Number(request.headers.get("Keepalive-Ping-Interval"));
  const isSane = Number.isFinite(seconds) && seconds >= KEEPALIVE_MIN_S;
  return isSane ? Math.min(seconds, KEEPALIVE_DEFAULT_S) : KEEPALIVE_DEFAULT_S;
}

export class Processes {
  readonly #guests: Guests;
  readonly #processes = new Map<string, Set<Process>>();
  readonly #withoutBash = new Map<string, number>();

  constructor(guests: Guests) {
    this.#guests = guests;
  }

  list({ vm }: Target) {
    const all = [...(this.#processes.get(vm.id) ?? [])].filter((each) => !each.hasEnded);
    return { processes: all.map(({ pid, tag, config }) => ({ pid, tag, config })) };
  }

  /** The process keeps running after the reader leaves, until its timeout. */
  async *start(
    target: Target,
    wanted: z.infer<typeof startRequest>,
    { user, timeout_ms, keepalive_s }: StreamOptions & { user: string | undefined },
  ): AsyncGenerator<unknown, void> {
    const { cmd, args = [], envs = {}, cwd } = wanted.process;
    const config: ProcessConfig = { cmd, args, envs, ...(cwd ? { cwd } : {}) };
    const exec: ExecRequest = {
      argv: [cmd, ...args],
      env: envs,
      cwd: await this.#cwd(target, cwd, user),
      stdin: wanted.stdin ?? true,
      ...(user ? { user } : {}),
      ...(wanted.pty ? { terminal: sizeOf(wanted.pty) } : {}),
    };
    const { process, reader } = await this.#run(target, { config, tag: wanted.tag, exec });
    if (timeout_ms !== undefined) {
      const timer = setTimeout(() => {
        if (process.hasEnded) return;
        reader.end(timedOut(timeout_ms));
        process.signal("KILL");
      }, timeout_ms);
      timer.unref();
    }
    yield* alive(reader, { keepalive_s }, () => process.unsubscribe(reader));
  }

  /** Output from now on. The stream's timeout does not apply to the process. */
  async *connect(
    target: Target,
    wanted: z.infer<typeof selectRequest>,
    { timeout_ms, keepalive_s }: StreamOptions,
  ): AsyncGenerator<unknown, void> {
    const process = this.#find(target, wanted.process);
    const reader = process.subscribe();
    const late = (): void => reader.end(timedOut(timeout_ms ?? 0));
    const timer = timeout_ms === undefined ? undefined : setTimeout(late, timeout_ms);
    yield* alive(reader, { keepalive_s }, () => {
      clearTimeout(timer);
      process.unsubscribe(reader);
    });
  }

  async sendInput(target: Target, { process, input }: z.infer<typeof inputRequest>) {
    await write(this.#find(target, process), input);
    return {};
  }

  /** Input as a stream of the client: whose it is, then pieces of it. */
  async streamInput(target: Target, request: Request) {
    let process: Process | undefined;
    for await (const bytes of readEnvelopes(request)) {
      const message = parseMessage(bytes, streamInput);
      if ("start" in message) process = this.#find(target, message.start.process);
      else if ("data" in message) {
        if (!process) throw new ConnectError("invalid_argument", "data before start");
        await write(process, message.data.input);
      }
    }
    return {};
  }

  closeStdin(target: Target, { process }: z.infer<typeof selectRequest>) {
    this.#find(target, process).closeInput();
    return {};
  }

  update(target: Target, { process, pty }: z.infer<typeof updateRequest>) {
    const found = this.#find(target, process);
    if (pty) found.resize(sizeOf(pty));
    return {};
  }

  signal(target: Target, { process, signal }: z.infer<typeof signalRequest>) {
    const name = signals[String(signal)];
    if (!name) throw new ConnectError("invalid_argument", `unknown signal "${signal}"`);
    this.#find(target, process).signal(name);
    return {};
  }

  /** Runs bash, or sh where there is none: E2B's clients ask for bash, and many images have only sh. */
  async #run(target: Target, wanted: { config: ProcessConfig; tag?: string; exec: ExecRequest }) {
    const [program, ...rest] = wanted.exec.argv;
    const { id } = target.vm;
    const isBash = program === BASH;
    const known_ms = this.#withoutBash.get(id) ?? Number.NEGATIVE_INFINITY;
    const hasNone = isBash && performance.now() - known_ms < NO_BASH_MS;
    const bySh = { ...wanted, exec: { ...wanted.exec, argv: [SH, ...rest] } };
    if (hasNone) return await this.#begin(target, bySh);
    try {
      return await this.#begin(target, wanted);
    } catch (error) {
      const isMissing = error instanceof BangerError && error.code === "command_not_found";
      if (!isBash || !isMissing) throw error;
      if (this.#withoutBash.size > ENDED_KEPT_MAX) this.#withoutBash.clear();
      this.#withoutBash.set(id, performance.now());
      return await this.#begin(target, bySh);
    }
  }

  async #begin(target: Target, wanted: { config: ProcessConfig; tag?: string; exec: ExecRequest }) {
    const process = new Process({ tag: undefined, ...wanted });
    const reader = process.subscribe();
    const { id } = target.vm;
    await process.start(target, wanted.exec, () => this.#forgetLater(id, process));
    const all = this.#processes.get(id) ?? new Set();
    this.#processes.set(id, all.add(process));
    return { process, reader };
  }

  #forgetLater(id: string, process: Process): void {
    const forget = (each: Process): void => {
      const all = this.#processes.get(id);
      all?.delete(each);
      if (all?.size === 0) this.#processes.delete(id);
    };
    setTimeout(() => forget(process), ENDED_KEPT_MS).unref();
    const ended = [...(this.#processes.get(id) ?? [])].filter((each) => each.hasEnded);
    for (const each of ended.slice(0, Math.max(0, ended.length - ENDED_KEPT_MAX))) forget(each);
  }

  #find({ vm }: Target, { pid, tag }: z.infer<typeof selector>): Process {
    // The latest: a guest uses a pid again.
    const all = [...(this.#processes.get(vm.id) ?? [])].reverse();
    const found = all.find((each) => (tag === undefined ? each.pid === pid : each.tag === tag));
    if (found) return found;
    const what = tag === undefined ? `pid ${pid}` : `tag "${tag}"`;
    throw new ConnectError("not_found", `process with ${what} not found`);
  }

  /** Undefined: the image's own folder. */
  async #cwd(target: Target, cwd: string | undefined, user: string | undefined) {
    if (cwd) return await this.#guests.resolve(target, cwd, user);
    return (await this.#guests.defaults(target)).workdir ? undefined : "~";
  }
}

async function write(process: Process, { stdin, pty }: z.infer<typeof input>): Promise<void> {
  const data = stdin ?? pty;
  if (data === undefined) throw new ConnectError("invalid_argument", "no input given");
  if ((pty !== undefined) !== process.isTerminal) {
    const needed = process.isTerminal ? "pty" : "stdin";
    throw new ConnectError("failed_precondition", `input of this process is "${needed}"`);
  }
  await process.write(Buffer.from(data, "base64"));
}

/** The reader's events, with keep-alives. */
export async function* alive(
  reader: Subscription,
  { keepalive_s, sign = { event: { keepalive: {} } } }: { keepalive_s: number; sign?: object },
  onLeft: () => void,
): AsyncGenerator<unknown, void> {
  const beat = (): void => void reader.push(sign);
  const timer = setInterval(beat, keepalive_s * 1000);
  try {
    yield* reader.read();
  } finally {
    clearInterval(timer);
    onLeft();
  }
}

function sizeOf({ size: wanted }: z.infer<typeof pty>) {
  const { cols, rows } = wanted ?? {};
  return terminalSize.parse({ columns: cols || 80, rows: rows || 24 });
}

function timedOut(timeout_ms: number): ConnectError {
  return new ConnectError("deadline_exceeded", `timed out after ${timeout_ms} ms`);
}
