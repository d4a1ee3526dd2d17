/** Sessions: named commands in a machine that keep running after the client disconnects. */
import type { CallOptions, SessionInfo, SessionOptions, TerminalSize } from "#sdk/types.ts";
import { millisecondsOf } from "#sdk/units.ts";
import type { Target } from "./command.ts";

export class Sessions {
  readonly #target: Target;

  /** @internal */
  constructor(target: Target) {
    this.#target = target;
  }

  async start(argv: readonly string[], options: SessionOptions = {}): Promise<Session> {
    const { name, signal, ...rest } = options;
    const input = { vm: this.#target.vm, session: name, argv: [...argv], ...rest };
    const info = await this.#target.connection.client.session.start(input, { signal });
    return new Session(this.#target, info.name);
  }

  async list({ signal }: CallOptions = {}): Promise<SessionInfo[]> {
    return await this.#target.connection.client.session.list({ vm: this.#target.vm }, { signal });
  }

  /** Does not check that the session exists. */
  get(name: string): Session {
    return new Session(this.#target, name);
  }
}

export class Session {
  readonly #target: Target;
  readonly name: string;

  /** @internal */
  constructor(target: Target, name: string) {
    this.#target = target;
    this.name = name;
  }

  async info({ signal }: CallOptions = {}): Promise<SessionInfo> {
    return await this.#api.show(this.#ref, { signal });
  }

  /** Streams its output from byte `offset` until the session ends. */
  async *output(
    options: CallOptions & { offset?: number | undefined } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const queue: Uint8Array[] = [];
    let isOver = false;
    let failure: unknown;
    let wake = (): void => {};
    let taken = (): void => {};
    const stream = this.#target.connection.open(
      { kind: "session", ...this.#ref, offset: options.offset, follow: true },
      {
        signal: options.signal,
        // The next chunk arrives once this one is consumed.
        onStdout: (bytes) =>
          new Promise<void>((resolve) => {
            queue.push(bytes);
            taken = resolve;
            wake();
          }),
      },
    );
    const end = (error?: unknown): void => {
      isOver = true;
      failure = error;
      wake();
    };
    stream.exited.then(() => end(), end);
    try {
      while (queue.length > 0 || !isOver) {
        const bytes = queue.shift();
        if (bytes) {
          yield bytes;
          taken();
        } else await new Promise<void>((resolve) => (wake = resolve));
      }
      if (failure) throw failure;
    } finally {
      stream.close();
    }
  }

  async send(data: string | Uint8Array, { signal }: CallOptions = {}): Promise<void> {
    const text = Buffer.from(data as Uint8Array).toString("base64");
    await this.#api.send({ ...this.#ref, data: text }, { signal });
  }

  /** `name` without "SIG", such as "TERM". */
  async signal(name: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#api.signal({ ...this.#ref, signal: name }, { signal });
  }

  async resize(size: TerminalSize, { signal }: CallOptions = {}): Promise<void> {
    await this.#api.resize({ ...this.#ref, size }, { signal });
  }

  /** Waits until it exits; throws `timeout` if that takes longer. */
  async wait(
    options: CallOptions & { timeout?: number | string | undefined } = {},
  ): Promise<SessionInfo> {
    const timeout_ms = millisecondsOf(options.timeout);
    return await this.#api.wait({ ...this.#ref, timeout_ms }, { signal: options.signal });
  }

  /** Removes it. `force`: kills it first if it is running. */
  async remove(options: CallOptions & { force?: boolean | undefined } = {}): Promise<void> {
    const { signal, force } = options;
    await this.#api.remove({ ...this.#ref, force }, { signal });
  }

  get #api() {
    return this.#target.connection.client.session;
  }

  get #ref() {
    return { vm: this.#target.vm, session: this.name };
  }
}
