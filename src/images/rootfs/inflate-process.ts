/**
 * Runs banger-inflate, which decompresses gzip layers in a sandbox and on another processor. Data goes in and out
 * through shared memory; inflate/main.c describes the protocol.
 */
import { closeSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import { assert } from "#base/assert.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { Command, Event, MESSAGE_BYTES, RESERVED_BYTES, Status } from "./inflate-messages.ts";
import { createMemory, inflateProgram } from "./inflate-program.ts";

const log = getLogger(["banger", "images"]);

/** Sizes of the rings: neither side waits for the other, and both fit in a processor's cache. */
const INPUT_BYTES = 2 * MiB;
const OUTPUT_BYTES = 3 * MiB;
const REASON_MAX_BYTES = 200;

export interface Inflater extends AsyncDisposable {
  readonly pid: number;
  /**
   * One gzip file, of any number of members; `name` is used in error messages. A chunk is valid until the next one
   * is requested. Throws `integrity` when the file is corrupt, and whatever `source` throws. One file at a time, and
   * none after one that was not read to its end.
   */
  inflate(source: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array>;
}

/** Sizes in bytes, whole pages. Undefined where it cannot run: without /proc, seccomp, or memory to execute. */
export async function startInflater(
  sizes = { input: INPUT_BYTES, output: OUTPUT_BYTES },
): Promise<Inflater | undefined> {
  let reason: string;
  try {
    const inflater = new InflateProcess(sizes);
    if (await inflater.isReady()) return inflater;
    reason = await inflater.reason();
  } catch (error) {
    reason = messageOf(error);
  }
  log.info("gzip layers are decompressed in this process: {reason}", { reason });
  return undefined;
}

class InflateProcess implements Inflater {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #input: Uint8Array;
  readonly #output: Uint8Array;
  /** Offset of the next input in its ring, and the free space there. */
  #inputAt = 0;
  #room: number;
  /** Offset of the next output in its ring, and its length. */
  #outputAt = 0;
  #unread = 0;
  #state: "starting" | "idle" | "busy" | "ended" = "starting";
  /** The error of the current file's source. */
  #sourceFailure: { error: unknown } | undefined;
  #change = Promise.withResolvers<void>();
  #reason: Promise<string> | undefined;

  constructor({ input, output }: { input: number; output: number }) {
    const fd = createMemory("banger-layer", input + output);
    try {
      const memory = Bun.mmap(`/proc/self/fd/${fd}`, { shared: true });
      this.#input = memory.subarray(0, input);
      this.#output = memory.subarray(input);
      this.#room = input;
      this.#child = Bun.spawn([inflateProgram(), `${input}`, `${output}`], {
        stdio: ["pipe", "pipe", "pipe", fd],
        env: {},
      });
    } finally {
      closeSync(fd);
    }
    this.#readEvents()
      .catch((error: unknown) => log.warn("{error}", { error: messageOf(error) }))
      .finally(() => this.#end());
  }

  get pid(): number {
    return this.#child.pid;
  }

  async isReady(): Promise<boolean> {
    while (this.#state === "starting") await this.#change.promise;
    return this.#state === "idle";
  }

  /** Why it ended, once it has. */
  async reason(): Promise<string> {
    this.#reason ??= this.#child.exited
      .then(() => new Response(this.#child.stderr).text())
      .then((text) => text.slice(0, REASON_MAX_BYTES));
    const text = await this.#reason;
    const { signalCode, exitCode } = this.#child;
    return text || (signalCode ? `killed by ${signalCode}` : `exit status ${exitCode}`);
  }

  async *inflate(source: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
    assert(this.#state !== "busy", "one file is decompressed after another");
    if (this.#state !== "idle") throw await this.#failure(name);
    this.#state = "busy";
    const feeding = this.#feed(source).catch((error: unknown) => {
      this.#sourceFailure = { error };
      this.#end();
    });
    try {
      while (this.#unread > 0 || this.#state === "busy") {
        if (this.#unread === 0) {
          await this.#change.promise;
          continue;
        }
        const count = Math.min(this.#unread, this.#output.length - this.#outputAt);
        yield this.#output.subarray(this.#outputAt, this.#outputAt + count);
        this.#outputAt = (this.#outputAt + count) % this.#output.length;
        this.#unread -= count;
        this.#send(Command.outputRead, count);
      }
      if (this.#state !== "idle") throw await this.#failure(name);
    } finally {
      // A reader that stops early leaves unread output behind.
      if (this.#state === "busy") this.#end();
      await feeding;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    await this.#child.exited;
  }

  async #failure(name: string): Promise<unknown> {
    if (this.#sourceFailure) return this.#sourceFailure.error;
    const reason = await this.reason();
    if (this.#child.exitCode === Status.invalidInput) {
      const text = `Cannot unpack ${name}: corrupt compressed data: ${reason}`;
      return new BangerError("integrity", text);
    }
    return new BangerError(
      "internal",
      `Cannot unpack ${name}: banger-inflate exited unexpectedly: ${reason}`,
      {
        hint: "Run the same command again: downloaded data is kept",
      },
    );
  }

  async #feed(source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; ) {
        while (this.#room === 0 && this.#state === "busy") await this.#change.promise;
        if (this.#state !== "busy") return;
        const count = Math.min(chunk.length - at, this.#room, this.#input.length - this.#inputAt);
        this.#input.set(chunk.subarray(at, at + count), this.#inputAt);
        this.#inputAt = (this.#inputAt + count) % this.#input.length;
        this.#room -= count;
        at += count;
        this.#send(Command.input, count);
      }
    }
    this.#send(Command.end, 0);
  }

  /** Does nothing once the process has ended; the end of its stdout reports that. */
  #send(kind: number, count: number): void {
    if (this.#state === "ended") return;
    const { stdin } = this.#child;
    try {
      stdin.write(Uint32Array.of(kind, count));
      Promise.resolve(stdin.flush()).catch(() => {});
    } catch {
      this.#end();
    }
  }

  async #readEvents(): Promise<void> {
    let rest: Uint8Array = new Uint8Array(0);
    for await (const chunk of this.#child.stdout) {
      const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      let at = 0;
      for (; at + MESSAGE_BYTES <= bytes.length; at += MESSAGE_BYTES) {
        this.#handle(view.getUint32(at, true), view.getUint32(at + 4, true));
      }
      rest = bytes.subarray(at);
      this.#announce();
    }
  }

  /** Messages are checked: a malicious layer may have taken over the process. */
  #handle(kind: number, count: number): void {
    if (kind === Event.output && count <= this.#output.length - RESERVED_BYTES - this.#unread) {
      this.#unread += count;
    } else if (kind === Event.inputRead && count <= this.#input.length - this.#room) {
      this.#room += count;
    } else if (kind === Event.ready && this.#state === "starting") {
      this.#state = "idle";
    } else if (kind === Event.done && this.#state === "busy") {
      this.#state = "idle";
    } else {
      throw new Error("protocol error from banger-inflate");
    }
  }

  #end(): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#child.kill("SIGKILL");
    this.#announce();
  }

  #announce(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }
}
