/** Refuses connections in words that their programs understand. */
import type { Socket } from "node:net";

/** Thrown to refuse a connection; the message is the reason. */
export class Refusal extends Error {
  readonly rule: string | undefined;

  constructor(reason: string, rule?: string) {
    super(reason);
    this.rule = rule;
  }
}

/** A fatal alert "access_denied" in a record of its own. */
const TLS_ACCESS_DENIED = Buffer.from([21, 3, 3, 0, 2, 2, 49]);

export function refuseTls(client: Socket): void {
  endWith(client, TLS_ACCESS_DENIED);
}

export function refuseHttp(
  client: Socket,
  { reason, host }: { reason: string; host: string | undefined },
): void {
  const body = `Blocked by the policy of this machine: ${host ?? "this request"}: ${reason}\n`;
  const lines = [
    "HTTP/1.1 403 Forbidden",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  endWith(client, `${lines.join("\r\n")}\r\n\r\n${body}`);
}

/** What the machine still sends is read and dropped: a reset would take the answer away. */
function endWith(client: Socket, answer: string | Uint8Array): void {
  client.resume();
  client.end(answer);
  setTimeout(() => client.destroy(), 1000).unref();
}
