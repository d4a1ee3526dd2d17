/** banger, as one caller may use it. */
import type { ExecOpen } from "#api/exec.ts";
import type { ExecConnection, ExecOptions } from "#api/serve/exec-client.ts";
import type { BangerClient } from "#api/serve/mount.ts";

export interface Backend {
  readonly client: BangerClient;
  exec(open: ExecOpen, options?: ExecOptions): ExecConnection;
}

/** The holder of an API token. */
export interface E2bCaller {
  /** Of the token. */
  id: string;
  backend: Backend;
  /** Whether it may get access tokens of sandboxes. */
  mayChange: boolean;
  /** Whether it may build templates: their files are shared by all builds. */
  mayBuild: boolean;
}

/** Context of every request besides its caller. */
export interface RequestInfo {
  /** Authority of the server as the client sees it, "127.0.0.1:7777". */
  host: string;
  signal: AbortSignal;
  /**
   * For a request with a sandbox's access token: counts it as of the API token with this ID, undefined for none, and
   * ends it when that is revoked. Throws if there are too many.
   */
  admit(id: string | undefined): void;
  /** Sends a request, whose Host is "PORT-ID.localhost", to that port of a sandbox. */
  forwardToPort(request: Request): Promise<Response>;
}

/** Of the control plane. */
export interface ControlRequest extends RequestInfo, E2bCaller {
  request: Request;
  /** Below the prefix. */
  path: string;
}
