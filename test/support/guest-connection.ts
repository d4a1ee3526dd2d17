/** The gate's part of a connection that is intercepted, on loopback: for tests of src/egress/intercept. */
import { connect, type Socket } from "node:net";
import type { EgressDecision, GuestConnection } from "#egress/intercept/interceptor.ts";

export interface GateOptions {
  host: string;
  /** Where the real server listens. */
  serverPort: number;
  port?: number;
  machineId?: string;
  signal?: AbortSignal;
}

/** Admits the one name, and remembers what was logged. */
export function guestConnection(
  { socket, head }: { socket: Socket; head: Uint8Array },
  { host, serverPort, port = 443, machineId = "m1", signal }: GateOptions,
): GuestConnection & { decisions: EgressDecision[] } {
  const decisions: EgressDecision[] = [];
  return {
    socket,
    head,
    machineId,
    host,
    addresses: ["127.0.0.1"],
    port,
    decisions,
    admit(authority) {
      if (authority === host || authority === `${host}:${port}`) return;
      throw new Error(`${authority} is not ${host}`);
    },
    connect: () =>
      new Promise((resolve, reject) => {
        const upstream = connect(serverPort, "127.0.0.1");
        upstream.once("connect", () => resolve(upstream)).once("error", reject);
      }),
    log: (decision) => decisions.push(decision),
    signal: signal ?? new AbortController().signal,
  };
}
