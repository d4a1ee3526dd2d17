/**
 * Sockets that listen in the guest, for `ssh -R`, the forwarded agent and `vm forward -R`: the agent's program "listen"
 * sends each connection to them as records, whose format guest/programs/listen.h specifies.
 */
import { BangerError } from "#base/error.ts";
import { type ExecConnection, openExec } from "#sdk/exec.ts";
import type { Guest } from "./channel.ts";
import { AGENT_PATH, Link, RECORD_HEADER_BYTES, type ReverseChannel, Tag, Type } from "./link.ts";

/** Of the guest, which has fewer, and of those that it has ended and the client has not. */
const CONNECTIONS_MAX = 64;
const STDERR_MAX_BYTES = 2048;

export type ListenTarget =
  | { kind: "tcp"; address: string; port: number }
  | { kind: "unix"; path: string }
  /** A new path that only the user can reach. */
  | { kind: "agent" };

export interface Peer {
  host: string;
  port: number;
}

/** A listening socket in the guest. */
export class GuestListener {
  /** The port, or the path of the socket. */
  readonly ready: Promise<{ port: number; path: string }>;
  /** Resolves when nobody listens any more. */
  readonly ended: Promise<void>;
  readonly #connect: (peer: Peer) => Promise<ReverseChannel>;
  readonly #exec: ExecConnection;
  readonly #ready = Promise.withResolvers<{ port: number; path: string }>();
  readonly #ended = Promise.withResolvers<void>();
  /** By the guest's number, as long as it may name them. */
  readonly #links = new Map<number, Link>();
  /** Those whose channel has not ended. */
  #open = 0;
  #fewer = Promise.withResolvers<void>();
  #isOver = false;
  #received = Buffer.alloc(0);
  #stderr = Buffer.alloc(0);

  /** `connect` opens the other end of an incoming connection; when it fails the connection is closed. */
  constructor(
    guest: Guest,
    { user, target }: { user: string; target: ListenTarget },
    connect: (peer: Peer) => Promise<ReverseChannel>,
  ) {
    this.#connect = connect;
    this.ready = this.#ready.promise;
    this.ready.catch(() => {});
    this.ended = this.#ended.promise;
    const argv = [AGENT_PATH, "listen", ...argumentsOf(target)];
    this.#exec = openExec(
      guest.socket,
      { kind: "exec", vm: guest.vm, exec: { argv, user, cwd: "/", stdin: true } },
      {
        onStdout: (bytes) => this.#receive(bytes),
        onStderr: (bytes) => this.#keepStderr(bytes),
      },
    );
    this.#exec.exited.then(
      () => this.#end(new BangerError("guest", messageOf(this.#stderr))),
      (error: unknown) => this.#end(error),
    );
  }

  close(): void {
    this.#exec.close();
  }

  #end(reason: unknown): void {
    this.#isOver = true;
    this.#fewer.resolve();
    this.#ready.reject(reason);
    for (const link of this.#links.values()) link.end();
    this.#links.clear();
    this.#ended.resolve();
  }

  #keepStderr(bytes: Uint8Array): void {
    if (this.#stderr.length < STDERR_MAX_BYTES) this.#stderr = Buffer.concat([this.#stderr, bytes]);
  }

  /** Pending while the guest has more connections under way than it may: it then stalls. */
  async #receive(bytes: Uint8Array): Promise<void> {
    this.#received = Buffer.concat([this.#received, bytes]);
    const received = this.#received;
    let at = 0;
    while (!this.#isOver && received.length - at >= RECORD_HEADER_BYTES) {
      const length = received.readUInt16LE(at + 2);
      const start = at + RECORD_HEADER_BYTES;
      if (received.length - start < length) break;
      const payload = received.subarray(start, start + length);
      if (!this.#handle(received.readUInt8(at), received.readUInt32LE(at + 4), payload)) {
        this.#end(new BangerError("guest", "protocol error from the guest agent"));
        return this.close();
      }
      at = start + length;
      while (this.#open >= CONNECTIONS_MAX && !this.#isOver) await this.#fewer.promise;
    }
    this.#received = Buffer.from(received.subarray(at));
  }

  /** False where the guest breaks the protocol. */
  #handle(type: number, id: number, payload: Buffer): boolean {
    if (type === Type.ready) {
      const fields = readFields(payload);
      const port = numberOf(fields.get(Tag.port));
      this.#ready.resolve({ port, path: textOf(fields.get(Tag.path)) });
      return true;
    }
    if (type === Type.open) return this.#accept(id, readFields(payload));
    const link = this.#links.get(id);
    if (type === Type.close) this.#links.delete(id);
    return link?.take(type, payload) ?? true;
  }

  #accept(id: number, fields: Map<number, Buffer>): boolean {
    if (this.#links.has(id) || this.#links.size >= CONNECTIONS_MAX) return false;
    const peer = { host: textOf(fields.get(Tag.host)), port: numberOf(fields.get(Tag.port)) };
    const link = new Link(id, this.#exec);
    this.#links.set(id, link);
    this.#open++;
    void link.closed.then(() => {
      this.#open--;
      this.#fewer.resolve();
      this.#fewer = Promise.withResolvers();
    });
    this.#connect(peer).then(
      (channel) => link.join(channel),
      () => link.end(),
    );
    return true;
  }
}

function argumentsOf(target: ListenTarget): string[] {
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

function messageOf(stderr: Buffer): string {
  return textOf(readFields(stderr).get(Tag.message)) || "the guest agent cannot listen";
}
