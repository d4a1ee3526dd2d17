/** Reads the start of a machine's connection, as far as it takes to know what it carries. */
import type { Socket } from "node:net";
import { classify, type FirstBytes } from "./first-bytes.ts";
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
  let first: FirstBytes = { kind: "partial" };
  const isEnough = (bytes: Buffer): boolean => {
    first = classify(bytes);
    return first.kind !== "partial";
  };
  const timeout_ms = isPatient ? undefined : TIMEOUT_MS;
  const head = await readUntil(client, isEnough, { start: Buffer.alloc(0), timeout_ms });
  return { head, first: first.kind === "partial" ? { kind: "other" } : first };
}

/** With the whole head of an HTTP request. */
export async function readHead(client: Socket, start: Buffer): Promise<Buffer> {
  const isEnough = (bytes: Buffer): boolean => {
    if (bytes.includes(HEAD_END)) return true;
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
  let bytes = start;
  const onData = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    try {
      if (!isEnough(bytes)) return;
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
    return bytes;
  } finally {
    clearTimeout(timer);
    client.off("data", onData).off("end", onEnd).off("close", onClose);
  }
}
