/**
 * One connection that came in a machine: records of the guest's "listen" program on one side (guest/programs/listen.h
 * specifies them), the channel of a client on the other. The guest is hostile: what it sends lies in one buffer of the size
 * that it was granted, and never more than one record of each kind waits to be sent to it.
 */
import type { Duplex } from "node:stream";
import { Credit } from "#base/credit.ts";
import type { ExecConnection } from "#sdk/exec.ts";
import { writeChannel } from "./channel.ts";

/** The protocol of the agent and its "listen" program; src/guest/protocol.test.ts compares these with protocol.ts. */
export const AGENT_PATH = "/run/banger/banger-vsock-agent";
export const Tag = { host: 25, port: 26, path: 27, message: 43 } as const;
export const RECORD_HEADER_BYTES = 8;
export const Type = { ready: 1, open: 2, data: 3, eof: 4, credit: 5, close: 6 } as const;

export const MAX_DATA_BYTES = 32_768;
/** What each side may send of a connection before it is granted more. */
export const WINDOW_BYTES = 64 * 1024;
const MAX_CREDIT_BYTES = 0xffff_ffff;

/** What a connection comes out at; `eof` ends what is written to it and no more. */
export type ReverseChannel = Duplex & { eof(): unknown };

export class Link {
  /** Resolves when the channel has ended, or was never opened, and the guest knows. */
  readonly closed: Promise<void>;
  readonly #id: number;
  readonly #exec: Pick<ExecConnection, "writeStdin">;
  readonly #resolveClosed: () => void;
  /** From the guest and not yet taken by the channel. */
  #waiting: Buffer | undefined;
  #waiting_bytes = 0;
  /** Being written to the channel: out of the buffer, and not yet granted again. */
  #writing_bytes = 0;
  #hasPeerEnded = false;
  #isPeerGone = false;
  readonly #credit = new Credit(WINDOW_BYTES);
  #isOver = false;
  #channel: ReverseChannel | undefined;
  #isDraining = false;

  constructor(id: number, exec: Pick<ExecConnection, "writeStdin">) {
    this.#id = id;
    this.#exec = exec;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    this.#resolveClosed = resolve;
  }

  /** A record of the guest; false for one that the guest may not send. */
  take(type: number, payload: Uint8Array): boolean {
    switch (type) {
      case Type.data:
        return this.#keep(payload);
      case Type.eof:
        if (this.#hasPeerEnded) return false;
        this.#hasPeerEnded = true;
        break;
      case Type.credit: {
        if (payload.length < 4) return false;
        const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
        this.#credit.add(view.getUint32(0, true));
        return this.#credit.left_bytes <= MAX_CREDIT_BYTES;
      }
      case Type.close:
        this.#hasPeerEnded = true;
        this.#isPeerGone = true;
        this.#isOver = true;
        this.#credit.close();
    }
    void this.#drain();
    return true;
  }

  join(channel: ReverseChannel): void {
    this.#channel = channel;
    channel.on("error", () => {});
    // What the client has sent before it closed still has to go in.
    const closed = new Promise((resolve) => channel.once("close", resolve));
    void this.#feed(channel).then(async () => {
      await closed;
      this.end();
    });
    void this.#drain();
  }

  /** The channel is gone, or there is none; also when the listener ends. */
  end(): void {
    const isTold = this.#isOver;
    this.#isOver = true;
    this.#hasPeerEnded = true;
    this.#isPeerGone = true;
    this.#credit.close();
    if (this.#channel) void this.#drain();
    // A guest that is not ready to hear of it has its number in use.
    if (isTold) this.#resolveClosed();
    else void this.#send(Type.close).then(this.#resolveClosed, this.#resolveClosed);
  }

  #keep(bytes: Uint8Array): boolean {
    const kept_bytes = this.#waiting_bytes + this.#writing_bytes + bytes.length;
    // Of a connection that the client has closed, what is still on its way is dropped.
    if (this.#isOver) return kept_bytes <= WINDOW_BYTES;
    if (bytes.length === 0 || kept_bytes > WINDOW_BYTES || this.#hasPeerEnded) return false;
    this.#waiting ??= Buffer.allocUnsafeSlow(WINDOW_BYTES);
    this.#waiting.set(bytes, this.#waiting_bytes);
    this.#waiting_bytes += bytes.length;
    void this.#drain();
    return true;
  }

  /** Writes what waits to the channel, at its pace, and then the end of it. */
  async #drain(): Promise<void> {
    const channel = this.#channel;
    if (!channel || this.#isDraining) return;
    this.#isDraining = true;
    while (this.#waiting && this.#waiting_bytes > 0) {
      const bytes = Buffer.from(this.#waiting.subarray(0, this.#waiting_bytes));
      this.#waiting_bytes = 0;
      this.#writing_bytes = bytes.length;
      await writeChannel(channel, bytes).catch(() => {});
      this.#writing_bytes = 0;
      const credit = Buffer.alloc(4);
      credit.writeUInt32LE(bytes.length);
      if (!this.#isOver) await this.#send(Type.credit, credit);
    }
    this.#isDraining = false;
    // To end() the channel would close it for the client's data as well.
    if (this.#isPeerGone) channel.end(() => channel.destroy());
    else if (this.#hasPeerEnded) channel.eof();
  }

  async #feed(channel: ReverseChannel): Promise<void> {
    try {
      for await (const chunk of channel.iterator({ destroyOnReturn: false })) {
        for (let at = 0; at < chunk.length; ) {
          const length = await this.#credit.take(Math.min(chunk.length - at, MAX_DATA_BYTES));
          if (length === 0) return;
          const part = chunk.subarray(at, at + length);
          at += part.length;
          await this.#send(Type.data, part);
        }
      }
    } catch {
      // A channel that breaks off ends its direction.
    }
    if (!this.#isOver) await this.#send(Type.eof);
  }

  async #send(type: number, payload: Uint8Array = new Uint8Array(0)): Promise<void> {
    const record = Buffer.alloc(RECORD_HEADER_BYTES + payload.length);
    record.writeUInt8(type, 0);
    record.writeUInt16LE(payload.length, 2);
    record.writeUInt32LE(this.#id, 4);
    record.set(payload, RECORD_HEADER_BYTES);
    await this.#exec.writeStdin(record);
  }
}
