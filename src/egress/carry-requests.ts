/** Carries an HTTP/1 connection, each request of which is admitted first. */
import type { Socket } from "node:net";
import { messageOf } from "#base/error.ts";
import type { RequestHead } from "./http-head.ts";
import { HttpRequests } from "./http-requests.ts";

/** Longer than any status line. */
const MAX_STATUS_LINE_BYTES = 8192;

export interface CarryOptions {
  /** What was read of the first request. */
  head: Buffer;
  /** Throws the reason why a request must not pass. */
  admit: (head: RequestHead) => void;
  onRefused: (reason: string) => void;
}

/** Takes over both sockets, to their end. */
export function carryRequests(client: Socket, upstream: Socket, options: CarryOptions): void {
  const { head, admit, onRefused } = options;
  const requests = new HttpRequests(admit);
  const send = (take: () => Buffer[]): void => {
    try {
      const isFull = take().filter((bytes) => !upstream.write(bytes)).length > 0;
      if (isFull || requests.isWaiting) client.pause();
      else client.resume();
    } catch (error) {
      onRefused(messageOf(error));
      client.resetAndDestroy();
    }
  };
  client.on("data", (chunk: Buffer) => send(() => requests.take(chunk)));
  client.once("end", () => upstream.end());
  client.once("close", () => upstream.destroy());
  upstream.on("drain", () => {
    if (!requests.isWaiting) client.resume();
  });
  upstream.once("close", () => {
    if (!upstream.readableEnded) client.resetAndDestroy();
    else client.destroySoon();
  });
  onStatus(upstream, (status) => {
    if (requests.isWaiting) send(() => requests.upgraded(status === "101"));
  });
  upstream.pipe(client);
  send(() => requests.take(head));
}

/** The status of the first response. */
function onStatus(upstream: Socket, found: (status: string | undefined) => void): void {
  let text = "";
  const onData = (chunk: Buffer): void => {
    text += chunk.subarray(0, MAX_STATUS_LINE_BYTES).toString("latin1");
    if (!text.includes("\n") && text.length < MAX_STATUS_LINE_BYTES) return;
    upstream.off("data", onData);
    found(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1]);
  };
  upstream.on("data", onData);
}
