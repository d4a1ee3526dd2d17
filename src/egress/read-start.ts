/** Reads the start of a machine's connection, as far as it takes to know what it carries. */
import type { Socket } from "node:net";
import { Classifier, type FirstBytes } from "./first-bytes.ts";
import { MAX_HEAD_BYTES, RequestError } from "./http-head.ts";
import { Refusal } from "./refuse.ts";

/** A machine that connects and sends nothing. */
const TIMEOUT_MS = 30_000;
const HEAD_END = "\r\n\r\n";

/** `isPatient`: the server may speak first. What ends before it can be told is "other". */
export async function readFirst(
  client: Socket,
  { isPatient = false }: { isPatient?: boolean } = {},
): Promise<{ head: Buffer; first: FirstBytes }> {
  const classifier = new Classifier();
  const isEnough = (bytes: Buffer): boolean => classifier.isKnown(bytes);
  const timeout_ms = isPatient ? undefined : TIMEOUT_MS;
  const head = await readUntil(client, isEnough, { start: Buffer.alloc(0), timeout_ms });
  const first = classifier.end(head);
  return { head, first: first.kind === "partial" ? { kind: "other" } : first };
}

/** With the whole head of an HTTP request. */
export async function readHead(client: Socket, start: Buffer): Promise<Buffer> {
  let searched = 0;
  const isEnough = (bytes: Buffer): boolean => {
    if (bytes.indexOf(HEAD_END, searched) >= 0) return true;
    searched = Math.max(0, bytes.length - HEAD_END.length + 1);
    if (bytes.length > MAX_HEAD_BYTES) throw new RequestError("HTTP head is too large");
    return false;
  };
  const head = await readUntil(client, isEnough, { start, timeout_ms: TIMEOUT_MS });
  if (!head.includes(HEAD_END)) throw new RequestError("incomplete HTTP request");
  return head;
}

/** Ends early when the machine has no more to send. The socket is paused afterwards. */
async function readUntil(
  client: Socket,
  isEnough: (bytes: Buffer) => boolean,
  { start, timeout_ms }: { start: Buffer; timeout_ms: number | undefined },
): Promise<Buffer> {
  if (start.length > 0 && isEnough(start)) return start;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const bytes = new GrowingBuffer();
  if (start.length > 0) bytes.push(start);
  const onData = (chunk: Buffer): void => {
    bytes.push(chunk);
    try {
      if (!isEnough(bytes.all)) return;
      client.pause();
      resolve();
    } catch (error) {
      reject(error);
    }
  };
  const onEnd = (): void => resolve();
  const onClose = (): void => reject(new Error("the machine has hung up"));
  const fail = (): void => reject(new Refusal("the machine has sent nothing"));
  const timer = timeout_ms === undefined ? undefined : setTimeout(fail, timeout_ms);
  client.on("data", onData).once("end", onEnd).once("close", onClose);
  client.resume();
  try {
    await promise;
    return bytes.all;
  } finally {
    clearTimeout(timer);
    client.off("data", onData).off("end", onEnd).off("close", onClose);
  }
}

/** So that bytes which come one by one are not all copied for each. */
class GrowingBuffer {
  #room = Buffer.alloc(0);
  #length = 0;

  get all(): Buffer {
    return this.#room.subarray(0, this.#length);
  }

  push(chunk: Uint8Array): void {
    const length = this.#length + chunk.length;
    if (length > this.#room.length) {
      const room = Buffer.allocUnsafe(Math.max(length, 2 * this.#length));
      this.all.copy(room);
      this.#room = room;
    }
    this.#room.set(chunk, this.#length);
    this.#length = length;
  }
}
