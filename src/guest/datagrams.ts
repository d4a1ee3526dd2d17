/** A UDP port inside the guest, spoken to by a program of the agent's; see guest/programs/datagrams.h. */
import type { Connection } from "./connection.ts";
import { openProgram } from "./program.ts";

const LENGTH_BYTES = 2;
const MAX_DATAGRAM_BYTES = 65_507;
/** Datagrams that the guest does not take any more are lost, as on any wire. */
const MAX_WAITING_BYTES = 256 * 1024;

export interface Datagrams {
  /** Never fails: what cannot be sent is lost. */
  send(data: Uint8Array): void;
  close(): void;
  /** Resolves when nothing comes any more, for whatever reason. */
  readonly closed: Promise<void>;
}

/** `host` is an IP address as the guest sees it. */
export async function openDatagrams(
  connection: Connection,
  target: { host: string; port: number },
  options: { onDatagram: (data: Uint8Array) => void; signal?: AbortSignal | undefined },
): Promise<Datagrams> {
  const argv = ["datagrams", target.host, String(target.port)];
  const { signal } = options;
  const program = await openProgram(connection, argv, {
    feature: "datagrams",
    stdin: true,
    signal,
  });
  let received = Buffer.alloc(0);
  program.exec.onStdout((chunk) => {
    program.exec.grant(chunk.length);
    received = takeDatagrams(Buffer.concat([received, chunk]), options.onDatagram);
  });
  let waiting_bytes = 0;
  return {
    send(data) {
      if (data.length > MAX_DATAGRAM_BYTES || waiting_bytes > MAX_WAITING_BYTES) return;
      waiting_bytes += data.length;
      const done = (): void => {
        waiting_bytes -= data.length;
      };
      program.exec.writeStdin(frame(data)).then(done, done);
    },
    close: () => program.exec.close(),
    closed: program.finished.catch(() => {}),
  };
}

function frame(data: Uint8Array): Uint8Array {
  const framed = Buffer.alloc(LENGTH_BYTES + data.length);
  framed.writeUInt16LE(data.length, 0);
  framed.set(data, LENGTH_BYTES);
  return framed;
}

/** Hands out what is whole, and gives back the beginning of the next one: less than 64 KiB. */
function takeDatagrams(
  bytes: Buffer<ArrayBuffer>,
  onDatagram: (data: Uint8Array) => void,
): Buffer<ArrayBuffer> {
  let at = 0;
  while (bytes.length - at >= LENGTH_BYTES) {
    const end = at + LENGTH_BYTES + bytes.readUInt16LE(at);
    if (bytes.length < end) break;
    onDatagram(bytes.subarray(at + LENGTH_BYTES, end));
    at = end;
  }
  return bytes.subarray(at);
}
