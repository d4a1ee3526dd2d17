/** banger's own MCP server below /mcp of the API on TCP. `?profile=full` and `?ttl=1h` choose as the flags of `banger mcp` do. */
import type { Mount, MountContext } from "#api/serve/mount.ts";
import { VM_TTL_MAX_MS, VM_TTL_MIN_MS } from "#api/vm.ts";
import { parseDuration } from "#base/duration.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { type Backend, DEFAULT_TTL_MS, type ServerSettings } from "./backend.ts";
import { MCP_BODY_MAX_BYTES, mcpHttp, type Served } from "./http.ts";
import { makeServer } from "./server.ts";

export const MCP_PREFIX = "/mcp";

export function mcpMount(): Mount {
  const { handle } = mcpHttp((served) =>
    makeServer(backendOf(served), settingsOf(served.request.url)),
  );
  return {
    prefix: MCP_PREFIX,
    bodyMax_bytes: MCP_BODY_MAX_BYTES,
    async handle(request: Request, context: MountContext) {
      try {
        settingsOf(request.url);
      } catch (error) {
        const { message } = toBangerError(error);
        const body = { jsonrpc: "2.0", id: null, error: { code: -32602, message } };
        return Response.json(body, { status: 400 });
      }
      return await handle(request, context);
    },
  };
}

function backendOf({ caller, context }: Served): Backend {
  const client = context.clientFor(caller);
  return {
    client: async () => client,
    exec: (open, options) => context.openExec(caller, open, options),
    scope: caller.scope,
    owner: undefined,
  };
}

function settingsOf(url: string): ServerSettings {
  const { searchParams } = new URL(url);
  const profile = searchParams.get("profile") ?? "default";
  if (profile !== "default" && profile !== "full") {
    throw new BangerError("invalid_argument", `unknown profile "${profile}": use default or full`);
  }
  const ttl = searchParams.get("ttl");
  const ttl_ms = ttl === null ? DEFAULT_TTL_MS : parseDuration(ttl);
  return { profile, ttl_ms: Math.min(VM_TTL_MAX_MS, Math.max(VM_TTL_MIN_MS, ttl_ms)) };
}
