/** Exec sessions of the daemon for tests: commands are processes of this host. */
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { ServerWebSocket, Subprocess } from "bun";
import {
  type ExecClientMessage,
  type ExecOpen,
  type ExecServerMessage,
  execClientMessage,
  execOpen,
  INITIAL_CREDIT_BYTES,
  STDERR_TAG,
  STDOUT_TAG,
} from "#api/exec.ts";
import type { Vm } from "#api/vm.ts";
import { version } from "#base/version.ts";
import { AGENT_PATH } from "#guest/protocol.ts";

/** A program of the guest's agent is run by the agent that was built. */
const AGENT = join(import.meta.dir, "../../build/bin/banger-vsock-agent");
/** Stdin that a client may have under way. */
const STDIN_WINDOW_BYTES = 32 * 1024;

/** How long a terminal is read that a process left behind still has. */
const TERMINAL_LEFT_MS = 10_000;

export interface SessionData {
  session?: LocalSession;
}

interface Daemon {
  version: string;
  opened: ExecOpen[];
  violations: string[];
  vms: Map<string, Vm>;
}

/** One exec WebSocket. */
export class LocalSession {
  readonly #web: ServerWebSocket<SessionData>;
  readonly #daemon: Daemon;
  readonly #state: { outstandingMax: number };
  #child: Subprocess | undefined;
  #tcp: Socket | undefined;
  #isOpen = false;
  #outputCredit = INITIAL_CREDIT_BYTES;
  #more = Promise.withResolvers<void>();
  #stdinCredit = 0;
  #stdin = Promise.resolve();

  constructor(
    web: ServerWebSocket<SessionData>,
    daemon: Daemon,
    state: { outstandingMax: number },
  ) {
    this.#web = web;
    this.#daemon = daemon;
    this.#state = state;
  }

  receive(message: string | Uint8Array): void {
    if (typeof message !== "string") this.#input(new Uint8Array(message));
    else if (this.#isOpen) this.#control(execClientMessage.parse(JSON.parse(message)));
    else this.#open(execOpen.parse(JSON.parse(message)));
  }

  #open(open: ExecOpen): void {
    this.#isOpen = true;
    this.#daemon.opened.push(open);
    this.#run(open).catch((error) => {
      const code = /ENOENT/.test(String(error)) ? "not_found" : "invalid_state";
      this.#say({ error: { code, message: `Cannot run it: ${error.message}`, hint: "test" } });
      this.#web.close();
    });
  }

  close(): void {
    this.#child?.kill("SIGHUP");
    this.#tcp?.destroy();
    this.#grantOutput(Number.POSITIVE_INFINITY);
  }

  async #run(open: ExecOpen): Promise<void> {
    if (open.kind === "connect") return await this.#connect(open);
    if (open.kind !== "exec" && open.kind !== "run") throw new Error("not part of this daemon");
    if (open.kind === "exec") this.#assertRunning(open.vm);
    else
      this.#say({ progress: { step: "boot", message: "Booting", lines: ["Installing systemd"] } });
    const { cwd, env, terminal, stdin } = open.exec;
    const argv = open.exec.argv.map((word) => (word === AGENT_PATH ? AGENT : word));
    const common = { cwd: cwd ?? "/", env: { ...process.env, ...env } };
    const output = Promise.withResolvers<void>();
    let pending = Promise.resolve();
    const child = terminal
      ? Bun.spawn(argv, {
          ...common,
          terminal: {
            cols: terminal.columns,
            rows: terminal.rows,
            data: (_, bytes) => {
              const copy = new Uint8Array(bytes);
              pending = pending.then(() => this.#output(STDOUT_TAG, copy));
            },
            exit: () => output.resolve(),
          },
        })
      : Bun.spawn(argv, { ...common, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    this.#child = child;
    const vm = open.kind === "exec" ? open.vm : "made-up";
    this.#say({ started: { vm, daemon: { ...version, version: this.#daemon.version } } });
    if (stdin) this.#grantStdin(STDIN_WINDOW_BYTES);
    else if (!terminal) this.#stdinSink()?.end();
    if (!terminal) {
      await Promise.all([
        this.#forward(STDOUT_TAG, child.stdout),
        this.#forward(STDERR_TAG, child.stderr),
      ]);
    }
    await child.exited;
    // What it wrote last may be read after it has ended; one that it left behind may keep the terminal.
    if (terminal) await Promise.race([output.promise, Bun.sleep(TERMINAL_LEFT_MS)]);
    await pending;
    this.#say({
      exit: child.signalCode
        ? { signal: String(child.signalCode).slice(3) }
        : { code: child.exitCode ?? 0 },
    });
    this.#web.close();
  }

  async #connect({ target }: Extract<ExecOpen, { kind: "connect" }>): Promise<void> {
    const tcp = connect("path" in target ? { path: target.path } : target);
    this.#tcp = tcp;
    const connected = Promise.withResolvers<void>();
    tcp.on("connect", connected.resolve).on("error", connected.reject);
    await connected.promise;
    this.#say({ started: { vm: "testbox" } });
    this.#grantStdin(STDIN_WINDOW_BYTES);
    for await (const chunk of tcp) await this.#output(STDOUT_TAG, chunk as Uint8Array);
    this.#say({ exit: { code: 0 } });
    this.#web.close();
  }

  #assertRunning(ref: string): void {
    const vm = [...this.#daemon.vms.values()].find(({ id, name }) => id === ref || name === ref);
    if (vm?.state !== "running") throw new Error(`"${ref}" does not run`);
  }

  async #forward(tag: number, stream: Subprocess["stdout"]): Promise<void> {
    if (typeof stream !== "object") return;
    for await (const chunk of stream) await this.#output(tag, chunk);
  }

  /** Waits for credit; what is sent is never more than was granted. */
  async #output(tag: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      while (this.#outputCredit <= 0) await this.#more.promise;
      const part = bytes.subarray(at, at + Math.min(this.#outputCredit, 64 * 1024));
      const message = new Uint8Array(part.length + 1);
      message[0] = tag;
      message.set(part, 1);
      this.#outputCredit -= part.length;
      const outstanding = INITIAL_CREDIT_BYTES - this.#outputCredit;
      this.#state.outstandingMax = Math.max(this.#state.outstandingMax, outstanding);
      this.#web.send(message);
      at += part.length;
    }
  }

  #grantOutput(bytes: number): void {
    this.#outputCredit += bytes;
    const isTooMuch = this.#outputCredit > INITIAL_CREDIT_BYTES;
    if (isTooMuch && Number.isFinite(bytes)) {
      this.#daemon.violations.push("more output was granted than was sent");
    }
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  #grantStdin(bytes: number): void {
    this.#stdinCredit += bytes;
    this.#say({ grant: bytes });
  }

  #input(bytes: Uint8Array): void {
    this.#stdinCredit -= bytes.length;
    if (this.#stdinCredit < 0) this.#daemon.violations.push("stdin beyond the credit");
    this.#stdin = this.#stdin.then(async () => {
      if (this.#tcp) this.#tcp.write(bytes);
      else if (this.#child?.terminal) this.#child.terminal.write(bytes);
      else {
        const sink = this.#stdinSink();
        sink?.write(bytes);
        await sink?.flush();
      }
      this.#grantStdin(bytes.length);
    });
    this.#stdin.catch(() => {});
  }

  #control(message: ExecClientMessage): void {
    if ("grant" in message) this.#grantOutput(message.grant);
    else if ("resize" in message) {
      this.#child?.terminal?.resize(message.resize.columns, message.resize.rows);
    } else if ("signal" in message) this.#child?.kill(`SIG${message.signal}` as NodeJS.Signals);
    else {
      this.#stdin = this.#stdin.then(() => {
        this.#tcp?.end();
        if (!this.#child?.terminal) this.#stdinSink()?.end();
      });
    }
  }

  #stdinSink() {
    const sink = this.#child?.stdin;
    return typeof sink === "object" ? sink : undefined;
  }

  #say(message: ExecServerMessage): void {
    this.#web.send(JSON.stringify(message));
  }
}
