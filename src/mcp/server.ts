/** One MCP server for one client: tools by profile and scope, and resources. */
import { McpServer } from "@modelcontextprotocol/server";
import { version } from "#base/version.ts";
import type { Backend, ServerSettings } from "./backend.ts";
import { errorResult } from "./errors.ts";
import { registerResources } from "./resources.ts";
import { type AnyTool, resultOf, ToolCall } from "./tool.ts";
import { TOOLS } from "./tools/all.ts";

const INSTRUCTIONS = `Linux virtual machines on the user's own computer. \`create\` one from an OCI image, run commands with \`exec\`,
move files with \`read\` and \`write\`, try several ways with \`fork\`, return to a state with \`snapshot\`, and \`remove\` what is no longer
needed. Machines are isolated from the host: what happens in them stays in them. They end after their ttl.`;

/** A payload may not hold more than a model would send. */
const INPUT_ELEMENTS_MAX = 100_000;
const CACHE = { ttlMs: 300_000, cacheScope: "private" as const };

export function makeServer(backend: Backend, settings: ServerSettings): McpServer {
  const server = new McpServer(
    { name: "banger", title: "banger", version: version.version },
    {
      instructions: INSTRUCTIONS,
      capabilities: { tools: { listChanged: false }, resources: { listChanged: false } },
      cacheHints: {
        "tools/list": CACHE,
        "resources/templates/list": CACHE,
        "server/discover": CACHE,
      },
      maxToolInputElements: INPUT_ELEMENTS_MAX,
    },
  );
  for (const each of toolsOf(backend, settings)) register(server, each, { backend, settings });
  registerResources(server, backend);
  return server;
}

export function toolsOf(
  { scope }: Pick<Backend, "scope">,
  { profile }: Pick<ServerSettings, "profile">,
): AnyTool[] {
  return TOOLS.filter(
    (each) => (profile === "full" || each.profile === "default") && each.scopes.includes(scope),
  );
}

function register(
  server: McpServer,
  { name, title, description, input, output, annotations, run }: AnyTool,
  { backend, settings }: { backend: Backend; settings: ServerSettings },
): void {
  server.registerTool(
    name,
    {
      title,
      description,
      inputSchema: input,
      outputSchema: output,
      annotations: { title, ...annotations },
    },
    async (args, context) => {
      try {
        const call = new ToolCall(await backend.client(), { backend, settings, context });
        // Checked by the schema.
        return resultOf(await run(args as never, call));
      } catch (error) {
        return errorResult(error);
      }
    },
  );
}
