/**
 * Sockets that listen in the machine, for `ssh -R`, the forwarded agent and `vm forward -R`: the agent's program "listen"
 * sends each connection to them as records, whose format guest/programs/listen.h specifies.
 */
import { BangerError } from "#base/error.ts";
import { openExec } from "#sdk/exec.ts";
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
  /** By the guest's number, as long as it may name them. */
  const links = new Map<number, Link>();
  /** Those whose channel has not ended. */
  let open = 0;
  let fewer = Promise.withResolvers<void>();
  let isOver = false;
  let kept = Buffer.alloc(0);
  let words = Buffer.alloc(0);
  const ended = Promise.withResolvers<void>();
  const exec = openExec(
    guest.socket,
    {
      kind: "exec",
      vm: guest.vm,
      exec: {
        argv: [AGENT_PATH, "listen", ...wordsOf(listen.target)],
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
    isOver = true;
    fewer.resolve();
    ready.reject(reason);
    for (const link of links.values()) link.end();
    links.clear();
    ended.resolve();
  }

  function keepWords(bytes: Uint8Array): void {
    if (words.length < STDERR_MAX_BYTES) words = Buffer.concat([words, bytes]);
  }

  /** Pending while the guest has more connections under way than it may: it then stalls. */
  async function receive(bytes: Uint8Array): Promise<void> {
    kept = Buffer.concat([kept, bytes]);
    let at = 0;
    while (!isOver && kept.length - at >= RECORD_HEADER_BYTES) {
      const length = kept.readUInt16LE(at + 2);
      const start = at + RECORD_HEADER_BYTES;
      if (kept.length - start < length) break;
      const payload = kept.subarray(start, start + length);
      if (!take(kept.readUInt8(at), kept.readUInt32LE(at + 4), payload)) return violated();
      at = start + length;
      while (open >= CONNECTIONS_MAX && !isOver) await fewer.promise;
    }
    kept = Buffer.from(kept.subarray(at));
  }

  function violated(): void {
    end(new BangerError("guest", "protocol error from the guest agent"));
    exec.close();
  }

  /** False where the guest breaks the protocol. */
  function take(type: number, id: number, payload: Buffer): boolean {
    if (type === Type.ready) {
      const fields = readFields(payload);
      ready.resolve({ port: numberOf(fields.get(Tag.port)), path: textOf(fields.get(Tag.path)) });
      return true;
    }
    if (type === Type.open) return accept(id, readFields(payload));
    const link = links.get(id);
    if (type === Type.close) links.delete(id);
    return link?.take(type, payload) ?? true;
  }

  function accept(id: number, fields: Map<number, Buffer>): boolean {
    if (links.has(id) || links.size >= CONNECTIONS_MAX) return false;
    const peer = { host: textOf(fields.get(Tag.host)), port: numberOf(fields.get(Tag.port)) };
    const link = new Link(id, exec);
    links.set(id, link);
    open++;
    void link.closed.then(() => {
      open--;
      fewer.resolve();
      fewer = Promise.withResolvers();
    });
    connect(peer).then(
      (channel) => link.join(channel),
      () => link.end(),
    );
    return true;
  }

  return { ready: ready.promise, ended: ended.promise, close: () => exec.close() };
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
  return textOf(readFields(words).get(Tag.message)) || "the guest agent cannot listen";
}
