/** The MCP server and its entry in the configuration of clients. */
import { durationArg, textArg } from "#cli/args/numbers.ts";
import { MCP_CLIENTS } from "#mcp/install/names.ts";
import { choice, command, optional, toggle, value } from "./types.ts";

export const mcpCommand = command({
  brief: "Serve MCP on stdin and stdout, or add it to an MCP client",
  details: `\`banger mcp\` is started by an MCP client, such as a coding agent. It sees only machines that were created under its
--owner, unless --all is given, and each of them is removed when its --ttl is over. \`banger mcp install CLIENT\` adds it
to the user's configuration of a client. Over HTTP, \`banger serve\` has it at /mcp.`,
  args: {
    action: optional("install", { choices: ["install"] }),
    client: optional(MCP_CLIENTS.join(", "), { choices: MCP_CLIENTS }),
  },
  flags: {
    profile: choice(
      "--profile <profile>",
      "Tools to serve: the usual ten, or all (default: default)",
      ["default", "full"],
    ),
    ttl: value(
      "--ttl <duration>",
      "Lifetime of new machines, and the longest possible (default: 8h)",
      durationArg,
    ),
    owner: value("--owner <name>", "Name that its machines are kept under (default: mcp)", textArg),
    all: toggle("--all", "Use all of your machines"),
    print: toggle("--print", "Print what install would write, and write nothing"),
    file: value("--file <file>", "Configuration file of the client, for install", textArg, {
      completes: "path",
    }),
  },
  isEndless: true,
  examples: [
    "banger mcp install claude-code",
    "banger mcp install codex --profile full --ttl 2h",
    "banger mcp install vscode --print",
    "banger mcp",
  ],
});
