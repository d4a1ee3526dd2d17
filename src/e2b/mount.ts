/** E2B's API on banger: the control plane below /e2b, the data plane of all sandboxes below /e2b/envd. */
import type { Backend, E2bCaller, RequestInfo } from "./backend.ts";
import { Control } from "./control/control.ts";
import { type Callers, Envd } from "./envd/envd.ts";
import { E2bError, errorReply } from "./errors.ts";
import type { Sandbox } from "./record.ts";
import { accessToken } from "./tokens.ts";

export const E2B_PREFIX = "/e2b";
export const ENVD_PREFIX = `${E2B_PREFIX}/envd`;
/** E2B's clients put signed URLs of files at the root of the data plane's address, whatever its path. */
export const SIGNED_FILES_PATH = "/files";
/** Which clients want at the beginning of a key, and banger's own tokens have not. */
const KEY_PREFIX = "e2b_";

export interface E2bOptions {
  /** Access tokens of sandboxes follow from it. */
  key(): Uint8Array;
  callers: Callers;
  /** For timeouts, which no caller waits for. */
  backend: Backend;
}

export class E2b {
  readonly #control: Control;
  readonly #envd: Envd;

  constructor({ key, callers, backend }: E2bOptions) {
    const tokenOf = ({ vm }: Sandbox, { id }: E2bCaller): string =>
      accessToken(key(), { id: vm.id, caller: id });
    this.#control = new Control({ tokenOf, backend });
    const onResumed = ({ vm }: Sandbox): void => this.#control.deadlines.watch(vm);
    this.#envd = new Envd({ tokenOf, callers, onResumed });
  }

  /** Takes up the timeouts of the sandboxes that are there. */
  async start(): Promise<void> {
    await this.#control.deadlines.start();
  }

  close(): void {
    this.#control.deadlines.close();
  }

  /** `callerOf`: who has the token, undefined for nobody. */
  async handle(
    request: Request,
    info: RequestInfo,
    callerOf: (token: string | undefined) => E2bCaller | undefined,
  ): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === SIGNED_FILES_PATH) return await this.#envd.handle(request, pathname);
    if (pathname.startsWith(`${ENVD_PREFIX}/`)) {
      return await this.#envd.handle(request, pathname.slice(ENVD_PREFIX.length));
    }
    try {
      const caller = callerOf(keyOf(request));
      if (!caller) {
        throw new E2bError(401, "invalid API key: create one with: banger token create");
      }
      const path = pathname.slice(E2B_PREFIX.length);
      return await this.#control.handle({ ...info, ...caller, request, path });
    } catch (error) {
      return errorReply(error);
    }
  }
}

function keyOf(request: Request): string | undefined {
  const bearer = /^Bearer\s+(\S+)$/i.exec(request.headers.get("Authorization") ?? "")?.[1];
  const key = request.headers.get("X-API-Key") ?? bearer;
  return key?.startsWith(KEY_PREFIX) ? key.slice(KEY_PREFIX.length) : key;
}
