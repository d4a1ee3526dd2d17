/** Forwards the response of a program in a machine, and marks it as the last one of the connection. */
import { Duplex } from "node:stream";
import { KiB } from "#base/size.ts";
import { endOfHead, formatHead, parseHead, without } from "./head.ts";

const HEAD_MAX_BYTES = 64 * KiB;

/** Passes `guest` through, except for its response headers. Destroyed if it does not speak HTTP. */
export function closingResponse(guest: Duplex): Duplex {
  let waiting: Buffer | undefined = Buffer.alloc(0);
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => void guest.resume(),
    write: (chunk: Buffer, _, callback) => void guest.write(chunk, callback),
    final: (callback) => void guest.end(callback),
    destroy(error, callback) {
      guest.destroy();
      callback(error);
    },
  });
  const give = (bytes: Buffer): void => {
    if (bytes.length > 0 && !stream.push(bytes)) guest.pause();
  };
  guest.on("data", (chunk: Buffer) => {
    if (!waiting) return give(chunk);
    const read = readHeads(Buffer.concat([waiting, chunk]));
    if (!read) return void stream.destroy();
    waiting = read.waiting;
    give(read.ready);
  });
  guest.once("end", () => void stream.push(null));
  guest.once("close", () => void stream.destroy());
  guest.once("error", () => void stream.destroy());
  return stream;
}

interface Read {
  ready: Buffer;
  /** Undefined once the body has begun. */
  waiting: Buffer | undefined;
}

/** Undefined if it is not a response. */
function readHeads(bytes: Buffer): Read | undefined {
  const end = endOfHead(bytes);
  if (end < 0) {
    return bytes.length > HEAD_MAX_BYTES ? undefined : { ready: Buffer.alloc(0), waiting: bytes };
  }
  const head = end <= HEAD_MAX_BYTES && parseHead(bytes.subarray(0, end), "response");
  if (!head) return undefined;
  const status = Number(head.first.split(" ")[1]);
  const rest = bytes.subarray(end);
  if (status === 101) return { ready: bytes, waiting: undefined };
  if (status < 200) {
    // An informational response: another one follows.
    const next = readHeads(rest);
    const ready = Buffer.concat([formatHead(head), next?.ready ?? Buffer.alloc(0)]);
    return next && { ready, waiting: next.waiting };
  }
  const { first, fields } = without(head, ["connection", "keep-alive"]);
  const closing = formatHead({ first, fields: [...fields, ["Connection", "close"]] });
  return { ready: Buffer.concat([closing, rest]), waiting: undefined };
}
