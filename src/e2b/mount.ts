/** E2B's API on banger: the control plane below /e2b, the data plane of all sandboxes below /e2b/envd. */
import type { Backend, ControlRequest, E2bCaller, RequestInfo } from "./backend.ts";
import { Control } from "./control/control.ts";
import type { SandboxTokens } from "./control/view.ts";
import { type Callers, Envd } from "./envd/envd.ts";
import { E2bError, errorReply } from "./errors.ts";
import type { Sandbox } from "./record.ts";
import { TemplateBuilds } from "./templates/builds.ts";
import { checkedHash } from "./templates/dockerfile.ts";
import { accessToken, callerOfToken, isSame, trafficToken } from "./tokens.ts";

export const E2B_PREFIX = "/e2b";
const ENVD_PREFIX = `${E2B_PREFIX}/envd`;
const UPLOADS_PREFIX = `${E2B_PREFIX}/uploads`;
/** E2B's clients build signed file URLs at the root of the data plane's address, ignoring its path. */
export const SIGNED_FILES_PATH = "/files";
/** Which clients want at the beginning of a key, and banger's own tokens have not. */
const KEY_PREFIX = "e2b_";

export interface E2bOptions {
  /** Access tokens of sandboxes follow from it. */
  key(): Uint8Array;
  callers: Callers;
  /** For files of template builds, which may be removed at any time. */
  folder: string;
  /** For timeouts, which no caller waits for. */
  backend: Backend;
}

export class E2b {
  readonly #options: E2bOptions;
  readonly #control: Control;
  readonly #envd: Envd;
  readonly #builds: TemplateBuilds;

  constructor(options: E2bOptions) {
    const { key, callers, backend, folder } = options;
    this.#options = options;
    this.#builds = new TemplateBuilds(folder);
    const tokensOf = ({ vm }: Sandbox, { id }: E2bCaller): SandboxTokens => {
      const of = { id: vm.id, caller: id };
      return { access: accessToken(key(), of), traffic: trafficToken(key(), of) };
    };
    const uploadUrl = ({ request, id }: ControlRequest, hash: string): string => {
      const url = new URL(`${UPLOADS_PREFIX}/${hash}`, request.url);
      url.searchParams.set("token", this.#uploadToken(hash, id));
      return url.href;
    };
    this.#control = new Control({ tokensOf, backend, builds: this.#builds, uploadUrl });
    const onResumed = ({ vm }: Sandbox): void => this.#control.deadlines.watch(vm);
    this.#envd = new Envd({ tokensOf, callers, onResumed });
  }

  /** Schedules the timeouts of existing sandboxes. */
  async start(): Promise<void> {
    await this.#control.deadlines.start();
  }

  close(): void {
    this.#control.deadlines.close();
  }

  /** `callerOf`: the owner of a token, undefined if it is invalid. */
  async handle(
    request: Request,
    info: RequestInfo,
    callerOf: (token: string | undefined) => E2bCaller | undefined,
  ): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === SIGNED_FILES_PATH) return await this.#envd.handle(request, pathname, info);
    if (pathname.startsWith(`${ENVD_PREFIX}/`)) {
      return await this.#envd.handle(request, pathname.slice(ENVD_PREFIX.length), info);
    }
    try {
      if (pathname.startsWith(`${UPLOADS_PREFIX}/`))
        return await this.#upload(request, pathname, info);
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

  /** The holder of a traffic token for a machine; undefined if it is invalid. */
  trafficCaller(vm: string, token: string): string | undefined {
    const caller = callerOfToken(token);
    return isSame(token, trafficToken(this.#options.key(), { id: vm, caller }))
      ? caller
      : undefined;
  }

  /** Clients send nothing but the URL with the files. */
  async #upload(request: Request, pathname: string, { admit }: RequestInfo): Promise<Response> {
    const token = new URL(request.url).searchParams.get("token") ?? "";
    const caller = this.#options.callers.byId(callerOfToken(token));
    const hash = checkedHash(pathname.slice(UPLOADS_PREFIX.length + 1));
    const isKnown = caller?.mayBuild && isSame(token, this.#uploadToken(hash, caller.id));
    admit(isKnown ? caller.id : undefined);
    if (!isKnown) {
      throw new E2bError(401, "invalid token of the upload");
    }
    if (request.method !== "PUT") throw new E2bError(405, "method not allowed");
    if (!request.body) throw new E2bError(400, "no files in the upload");
    await this.#builds.addFiles(hash, request.body);
    return new Response(null, { status: 200 });
  }

  #uploadToken(hash: string, caller: string): string {
    return accessToken(this.#options.key(), { id: `upload:${hash}`, caller });
  }
}

function keyOf(request: Request): string | undefined {
  const bearer = /^Bearer\s+(\S+)$/i.exec(request.headers.get("Authorization") ?? "")?.[1];
  const key = request.headers.get("X-API-Key") ?? bearer;
  return key?.startsWith(KEY_PREFIX) ? key.slice(KEY_PREFIX.length) : key;
}
