/** A guest agent that behaves as a test wants, on the socket where the daemon expects the machine's own. */
import { chmodSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { Fields, FieldWriter } from "#guest/fields.ts";
import { encodeFrame, FrameParser } from "#guest/frame.ts";
import { FrameType, Kind, NONCE_BYTES, SYNC_MAGIC, Tag } from "#guest/protocol.ts";

const FEATURES = "exec connect health time shutdown files ports stats sessions watch processes";
const FLOOD_FRAME_BYTES = 30_000;
const WINDOW_BYTES = 64 * 1024;
/** The file by which the program below tells that it waits. */
export const WAITING = "waiting";

/**
 * A program for `qemu_bin` that keeps the machine's own agent away from the socket, and starts when
 * somebody else listens there. That it waits for them is told by a file.
 */
export function writeQemuWrapper(path: string): void {
  const script = `#!/bin/bash
if [[ "$*" =~ path=([^,]*)/agent.sock ]]; then
  touch "\${BASH_REMATCH[1]}/${WAITING}"
  while [ ! -S "\${BASH_REMATCH[1]}/agent.sock" ]; do sleep 0.02; done
fi
exec qemu-system-x86_64 "\${@//agent.sock/kept-away.sock}"
`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
}

export interface Opening {
  stream: number;
  /** Of an exec; "connect" for a connection. */
  argv: string[];
  send(type: number, payload?: Uint8Array, flags?: number): void;
  raw(bytes: Uint8Array): void;
  /** As a program that prints this and ends with status 0. */
  answer(output: Uint8Array): void;
  /** Opened, it prints what `next` gives, again and again, as fast as the host grants it. */
  flood(next: () => Uint8Array): void;
  readonly isOpen: boolean;
}

export class HostileAgent {
  /** Then requests without data, such as for its health, have no answer. */
  isSilent = false;
  /** What it does when a command is to be run; the default is to end it well. */
  onOpen: (opening: Opening) => void = (opening) => opening.answer(new Uint8Array(0));
  readonly #server: Server;
  /** What each stream may still send, and who waits for more. */
  readonly #credit = new Map<number, { bytes: number; onMore: () => void }>();

  constructor(path: string) {
    this.#server = createServer((socket) => this.#serve(socket)).listen(path);
  }

  close(): void {
    this.#server.close();
  }

  #serve(socket: Socket): void {
    const parser = new FrameParser();
    socket.on("error", () => {});
    const send = (type: number, stream: number, payload?: Uint8Array, flags = 0): void => {
      const all = payload ?? new Uint8Array(0);
      // As many frames as it takes, and none where the host has gone.
      for (let at = 0; !socket.destroyed; at += 30_000) {
        socket.write(encodeFrame(type, { stream, flags, payload: all.subarray(at, at + 30_000) }));
        if (at + 30_000 >= all.length) return;
      }
    };
    socket.on("data", (chunk: Buffer) => {
      parser.push(chunk, ({ type, stream, payload }) => {
        if (type === FrameType.sync) {
          socket.write(helloTo(payload));
          const ready = new FieldWriter().text(Tag.phase, "ready").finish();
          socket.write(encodeFrame(FrameType.event, { payload: ready }));
        }
        if (type === FrameType.credit) this.#grant(stream, Buffer.from(payload).readUInt32LE(0));
        // Each stream is closed once, whoever begins.
        if (type === FrameType.close && this.#credit.delete(stream)) {
          send(FrameType.close, stream, new FieldWriter().number(Tag.exitCode, 0).finish());
        }
        if (type !== FrameType.open) return;
        const fields = Fields.parse(payload);
        const kind = fields.number(Tag.kind);
        if (kind !== Kind.exec && kind !== Kind.connect) {
          const time = new FieldWriter().number(Tag.time_ns, BigInt(Date.now()) * 1_000_000n);
          if (!this.isSilent) send(FrameType.close, stream, time.finish());
          return;
        }
        const argv = fields.texts(Tag.argument);
        const opened = (): void =>
          send(
            FrameType.opened,
            stream,
            new FieldWriter().number(Tag.window, WINDOW_BYTES).finish(),
          );
        this.#credit.set(stream, { bytes: fields.number(Tag.window) ?? 0, onMore() {} });
        this.onOpen({
          stream,
          argv: kind === Kind.connect ? ["connect"] : argv,
          send: (kind, bytes, flags) => send(kind, stream, bytes, flags),
          raw: (bytes) => void socket.write(bytes),
          answer: (output) => {
            opened();
            if (output.length > 0) send(FrameType.data, stream, output, 1);
            this.#credit.delete(stream);
            send(FrameType.close, stream, new FieldWriter().number(Tag.exitCode, 0).finish());
          },
          flood: (next) => {
            opened();
            this.#flood(stream, next, (bytes) => send(FrameType.data, stream, bytes, 1));
          },
          get isOpen() {
            return !socket.destroyed;
          },
        });
      });
    });
  }

  #grant(stream: number, bytes: number): void {
    const credit = this.#credit.get(stream);
    if (!credit) return;
    credit.bytes += bytes;
    credit.onMore();
  }

  #flood(stream: number, next: () => Uint8Array, send: (bytes: Uint8Array) => void): void {
    const credit = this.#credit.get(stream);
    if (!credit) return;
    let bytes = next();
    credit.onMore = () => {
      while (credit.bytes > 0) {
        if (bytes.length === 0) bytes = next();
        const part = bytes.subarray(0, Math.min(credit.bytes, FLOOD_FRAME_BYTES));
        bytes = bytes.subarray(part.length);
        credit.bytes -= part.length;
        send(part);
      }
    };
    credit.onMore();
  }
}

function helloTo(sync: Uint8Array): Uint8Array {
  const nonce = sync.subarray(SYNC_MAGIC.length, SYNC_MAGIC.length + NONCE_BYTES);
  const fields = new FieldWriter().number(Tag.protocol, 1).number(Tag.maxStreams, 64);
  for (const feature of FEATURES.split(" ")) fields.text(Tag.feature, feature);
  return encodeFrame(FrameType.hello, { payload: Uint8Array.from([...nonce, ...fields.finish()]) });
}
