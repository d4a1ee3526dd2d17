/** APIs of another shape than the contract's, below a path of the API on TCP. Types only. */
import type { ContractRouterClient } from "@orpc/contract";
import type { contract } from "#api/contract.ts";
import type { ExecOpen } from "#api/exec.ts";
import type { Caller } from "./caller.ts";
import type { ExecConnection, ExecOptions } from "./exec-client.ts";

/** As `connect()` of the SDK gives it: errors are BangerErrors. */
export type BangerClient = ContractRouterClient<typeof contract>;

export interface Mount {
  /** Such as "/e2b". */
  prefix: string;
  /**
   * `request.url` is as it came, prefix included. Host and Origin are checked already; the token is not: the mount
   * reads it from wherever its clients send it, and asks `context.caller`.
   */
  handle(request: Request, context: MountContext): Promise<Response>;
  /** Of a request's body; default REQUEST_MAX_BYTES of src/daemon/serve/limits.ts. */
  bodyMax_bytes?: number;
}

export interface MountContext {
  /** Undefined for a token that is unknown, revoked or expired. */
  caller(token: string | undefined): Caller | undefined;
  /**
   * For a request that shows whose it is by other means than a token: counts it as of this caller, undefined for
   * nobody, and ends it when the caller's token is revoked. Throws if there are too many.
   */
  admit(caller: Caller | undefined): void;
  /** The contract in this process; each call is checked against the caller's scope. */
  clientFor(caller: Caller): BangerClient;
  /** As `openExec()` of the SDK, likewise. */
  openExec(caller: Caller, open: ExecOpen, options?: ExecOptions): ExecConnection;
  /** Answers a request whose Host is "PORT-MACHINE.localhost", under the rules of such requests. */
  forwardToPort(request: Request): Promise<Response>;
}
