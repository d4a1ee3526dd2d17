/**
 * Sockets that listen in the machine, for `ssh -R`, the forwarded agent and `vm forward -R`: the agent's program "listen"
 * sends each connection to them as records, whose format guest/listen.h specifies.
 */
import type { Duplex } from "node:stream";
import { BangerError } from "#base/error.ts";
import { type ExecConnection, openExec } from "#sdk/exec.ts";
import { type Guest, writeChannel } from "./channel.ts";

const AGENT = "/run/banger/banger-vsock-agent";
const HEADER_BYTES = 8;
const MAX_DATA_BYTES = 32_768;
/** What each side may send of a connection before it is granted more. */
const WINDOW_BYTES = 64 * 1024;
const CONNECTIONS_MAX = 64;
const STDERR_MAX_BYTES = 2048;

const Type = { ready: 1, open: 2, data: 3, eof: 4, credit: 5, close: 6 } as const;
const Tag = { host: 25, port: 26, path: 27, message: 43 } as const;

export type ListenTarget =
  | { kind: "tcp"; address: string; port: number }
  | { kind: "unix"; path: string }
  /** A new path that only the user can reach. */
  | { kind: "agent" };

/** What a connection comes out at; `eof` ends what is written to it and no more. */
export type ReverseChannel = Duplex & { eof(): unknown };

export interface GuestListener {
  /** The port, or the path of the socket. */
  readonly ready: Promise<{ port: number; path: string }>;
  /** Resolves when nobody listens any more. */
  readonly ended: Promise<void>;
  close(): void;
}

export interface Peer {
  host: string;
  port: number;
}

/** `connect` makes the other end of a connection that came; when it fails the connection is closed. */
export function listenInGuest(
  guest: Guest,
  listen: { user: string; target: ListenTarget },
  connect: (peer: Peer) => Promise<ReverseChannel>,
): GuestListener {
  const ready = Promise.withResolvers<{ port: number; path: string }>();
  ready.promise.catch(() => {});
  const links = new Map<number, Link>();
  let kept = Buffer.alloc(0);
  let words = Buffer.alloc(0);
  const ended = Promise.withResolvers<void>();
  const exec = openExec(
    guest.socket,
    {
      kind: "exec",
      vm: guest.vm,
      exec: {
        argv: [AGENT, "listen", ...wordsOf(listen.target)],
        user: listen.user,
        cwd: "/",
        stdin: true,
      },
    },
    { onStdout: receive, onStderr: keepWords },
  );
  exec.exited.then(
    () => end(new BangerError("guest", messageOf(words))),
    (error: unknown) => end(error),
  );

  function end(reason: unknown): void {
    ready.reject(reason);
    for (const link of links.values()) link.end();
    links.clear();
    ended.resolve();
  }

  function keepWords(bytes: Uint8Array): void {
    if (words.length < STDERR_MAX_BYTES) words = Buffer.concat([words, bytes]);
  }

  function receive(bytes: Uint8Array): void {
    kept = Buffer.concat([kept, bytes]);
    let at = 0;
    while (kept.length - at >= HEADER_BYTES) {
      const length = kept.readUInt16LE(at + 2);
      if (kept.length - at < HEADER_BYTES + length) break;
      const payload = Uint8Array.from(kept.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length));
      take(kept.readUInt8(at), kept.readUInt32LE(at + 4), payload);
      at += HEADER_BYTES + length;
    }
    kept = kept.subarray(at);
  }

  function take(type: number, id: number, payload: Uint8Array): void {
    if (type === Type.ready) {
      const fields = readFields(payload);
      ready.resolve({ port: numberOf(fields.get(Tag.port)), path: textOf(fields.get(Tag.path)) });
    } else if (type === Type.open) {
      accept(id, readFields(payload));
    } else {
      const link = links.get(id);
      if (type === Type.close) links.delete(id);
      link?.take(type, payload);
    }
  }

  function accept(id: number, fields: Map<number, Buffer>): void {
    if (links.has(id) || links.size >= CONNECTIONS_MAX) {
      exec.close();
      return;
    }
    const peer = { host: textOf(fields.get(Tag.host)), port: numberOf(fields.get(Tag.port)) };
    const link = new Link(id, exec);
    links.set(id, link);
    connect(peer).then(
      (channel) => link.join(channel),
      () => link.end(),
    );
  }

  return { ready: ready.promise, ended: ended.promise, close: () => exec.close() };
}

/** One connection: records of the guest on one side, the client's channel on the other. */
class Link {
  readonly #id: number;
  readonly #exec: ExecConnection;
  /** Given to the channel and not yet granted again. */
  #outstanding = 0;
  #sendCredit = WINDOW_BYTES;
  #more = Promise.withResolvers<void>();
  #isOver = false;
  #lastWrite: Promise<void> = Promise.resolve();
  readonly #channel = Promise.withResolvers<ReverseChannel>();

  constructor(id: number, exec: ExecConnection) {
    this.#id = id;
    this.#exec = exec;
    this.#channel.promise.catch(() => {});
  }

  /** The guest is not to be trusted: one that sends more than it may ends the listener. */
  take(type: number, payload: Uint8Array): void {
    switch (type) {
      case Type.data:
        this.#outstanding += payload.length;
        if (this.#outstanding > WINDOW_BYTES) this.#exec.close();
        else this.#pass(payload);
        return;
      case Type.eof:
        // To end() the channel would close it for the client's data as well.
        this.#afterWrites((channel) => channel.eof());
        return;
      case Type.credit:
        if (payload.length >= 4) this.#sendCredit += Buffer.from(payload).readUInt32LE(0);
        this.#wake();
        return;
      case Type.close:
        this.#isOver = true;
        this.#wake();
        this.#afterWrites((channel) => channel.end());
    }
  }

  join(channel: ReverseChannel): void {
    this.#channel.resolve(channel);
    channel.on("error", () => {});
    // What the client has sent before it closed still has to go in.
    const closed = new Promise((resolve) => channel.once("close", resolve));
    void this.#feed(channel).then(async () => {
      await closed;
      this.end();
    });
  }

  end(): void {
    this.#channel.reject(new BangerError("cancelled", "The connection is over"));
    this.#afterWrites((channel) => channel.end());
    if (this.#isOver) return;
    this.#isOver = true;
    this.#wake();
    void this.#send(Type.close);
  }

  #pass(bytes: Uint8Array): void {
    this.#afterWrites(async (channel) => {
      await writeChannel(channel, bytes);
      this.#outstanding -= bytes.length;
      const credit = Buffer.alloc(4);
      credit.writeUInt32LE(bytes.length);
      if (!this.#isOver) await this.#send(Type.credit, credit);
    });
  }

  /** In the order of the calls, once there is a channel; without one it is left out. */
  #afterWrites(work: (channel: ReverseChannel) => unknown): void {
    this.#lastWrite = this.#lastWrite
      .then(async () => void (await work(await this.#channel.promise)))
      .catch(() => {});
  }

  async #feed(channel: ReverseChannel): Promise<void> {
    try {
      for await (const chunk of channel.iterator({ destroyOnReturn: false })) {
        for (let at = 0; at < chunk.length; ) {
          while (this.#sendCredit === 0 && !this.#isOver) await this.#more.promise;
          if (this.#isOver) return;
          const part = chunk.subarray(at, at + Math.min(this.#sendCredit, MAX_DATA_BYTES));
          this.#sendCredit -= part.length;
          at += part.length;
          await this.#send(Type.data, part);
        }
      }
    } catch {
      // A channel that breaks off ends its direction.
    }
    if (!this.#isOver) await this.#send(Type.eof);
  }

  #send(type: number, payload: Uint8Array = new Uint8Array(0)): Promise<boolean> {
    const record = Buffer.alloc(HEADER_BYTES + payload.length);
    record.writeUInt8(type, 0);
    record.writeUInt16LE(payload.length, 2);
    record.writeUInt32LE(this.#id, 4);
    record.set(payload, HEADER_BYTES);
    return this.#exec.writeStdin(record);
  }

  #wake(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers<void>();
  }
}

function wordsOf(target: ListenTarget): string[] {
  switch (target.kind) {
    case "tcp":
      return ["tcp", target.address, String(target.port)];
    case "unix":
      return ["unix", target.path, ""];
    case "agent":
      return ["agent", "", ""];
  }
}

/** u16 tag, u32 length, value; what is malformed is left out. */
function readFields(bytes: Uint8Array): Map<number, Buffer> {
  const fields = new Map<number, Buffer>();
  const buffer = Buffer.from(bytes);
  for (let at = 0; buffer.length - at >= 6; ) {
    const length = buffer.readUInt32LE(at + 2);
    if (length > buffer.length - at - 6) break;
    fields.set(buffer.readUInt16LE(at), buffer.subarray(at + 6, at + 6 + length));
    at += 6 + length;
  }
  return fields;
}

function numberOf(value: Buffer | undefined): number {
  return value && value.length >= 2 ? value.readUInt16LE(0) : 0;
}

function textOf(value: Buffer | undefined): string {
  return value?.toString().slice(0, 200) ?? "";
}

function messageOf(words: Buffer): string {
  return textOf(readFields(words).get(Tag.message)) || "The machine's agent cannot listen";
}
