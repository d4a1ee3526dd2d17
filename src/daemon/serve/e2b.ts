/** Mounts E2B's API: authenticates its tokens, and keeps the key that sandboxes' access tokens are derived from. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { type Caller, USER } from "#api/serve/caller.ts";
import type { Mount, MountContext } from "#api/serve/mount.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { GiB } from "#base/size.ts";
import type { Backend, E2bCaller } from "#e2b/backend.ts";
import { E2bError } from "#e2b/errors.ts";
import { E2B_PREFIX, E2b, SIGNED_FILES_PATH } from "#e2b/mount.ts";
import type { Tokens } from "./tokens.ts";

const KEY_BYTES = 32;
/** Of an upload: the disk of a sandbox is smaller. */
const UPLOAD_MAX_BYTES = 1024 * GiB;

export interface E2bMounts {
  mounts: Mount[];
  e2b: E2b;
}

export function e2bMounts(
  context: Pick<MountContext, "clientFor" | "openExec">,
  { tokens, keyPath, folder }: { tokens: Tokens; keyPath: string; folder: string },
): E2bMounts {
  const backendOf = (caller: Caller): Backend => ({
    client: context.clientFor(caller),
    exec: (open, options) => context.openExec(caller, open, options),
  });
  const toE2b = (caller: Caller): E2bCaller => ({
    id: caller.token ?? "",
    backend: backendOf(caller),
    mayChange: caller.scope !== "read",
    mayBuild: caller.scope === "full",
  });
  const callers = {
    byId(id: string): E2bCaller | undefined {
      const caller = tokens.byId(id);
      return caller && toE2b(caller);
    },
    all: () => tokens.callers().map(toE2b),
  };
  let key: Uint8Array | undefined;
  const keyOnce = (): Uint8Array => {
    key ??= readKey(keyPath);
    return key;
  };
  const e2b = new E2b({ key: keyOnce, callers, folder, backend: backendOf(USER) });
  const handle = (
    request: Request,
    { caller, admit, forwardToPort }: MountContext,
  ): Promise<Response> => {
    const host = request.headers.get("Host") ?? new URL(request.url).host;
    const info = {
      host,
      signal: request.signal,
      forwardToPort,
      admit(id: string | undefined): void {
        const found = id === undefined ? undefined : tokens.byId(id);
        admit(found);
        // Revoked since it was looked up.
        if (id !== undefined && !found) throw new E2bError(401, "invalid access token");
      },
    };
    return e2b.handle(request, info, (token) => {
      const found = caller(token);
      return found && toE2b(found);
    });
  };
  const mounts = [E2B_PREFIX, SIGNED_FILES_PATH].map((prefix) => ({
    prefix,
    handle,
    bodyMax_bytes: UPLOAD_MAX_BYTES,
  }));
  return { mounts, e2b };
}

/** Created when first needed. If it is lost, existing sandboxes get new access tokens. */
function readKey(path: string): Uint8Array {
  if (existsSync(path)) return readFileSync(path);
  const key = randomBytes(KEY_BYTES);
  writeFileAtomic(path, key, { mode: 0o600 });
  return key;
}
