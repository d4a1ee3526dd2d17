/** The seam between the gate, which decides where a machine may connect, and the end of TLS that puts secrets in. */
import type { Duplex } from "node:stream";

export interface GuestConnection {
  /** The guest's socket, paused; `head` is what was already read from it: a ClientHello. */
  socket: Duplex;
  head: Uint8Array;
  machineId: string;
  /** What the gate has established: the name, and the addresses that our DNS gave this machine for it. */
  host: string;
  addresses: readonly string[];
  /** Where `connect` goes, if not to `addresses`. */
  targets?: readonly string[];
  port: number;
  /** Checks one request's Host or :authority against the policy of this connection; throws with the reason. */
  admit(authority: string): void;
  /** Opens TCP to the real server by the gate's rules, never to a closed range. */
  connect(signal: AbortSignal): Promise<Duplex>;
  log(decision: EgressDecision): void;
  signal: AbortSignal;
}

export interface EgressDecision {
  verdict: "allow" | "deny";
  reason: string;
  /** The name of the secret that was put in or refused; never its value. */
  secret?: string;
}

export interface Interceptor {
  /** Whether TLS to this host has to end here: the machine has a secret for it. */
  wants(machineId: string, host: string, port: number): boolean;
  /** Serves one connection to its end. The socket is the interceptor's from here on. */
  take(connection: GuestConnection): Promise<void>;
}
