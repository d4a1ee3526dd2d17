/** Mounts MCP. Its code is loaded with the first request: a daemon that serves none does without. */
import type { Mount } from "#api/serve/mount.ts";

const PREFIX = "/mcp";

export function mcpMount(): Mount {
  let loaded: Promise<Mount> | undefined;
  const load = async (): Promise<Mount> => {
    loaded ??= import("#mcp/mount.ts").then((module) => module.mcpMount());
    return await loaded;
  };
  return {
    prefix: PREFIX,
    handle: async (request, context) => await (await load()).handle(request, context),
  };
}
