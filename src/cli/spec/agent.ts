/** Commands that run coding agents in machines. */
import { textArg } from "#cli/args/numbers.ts";
import { readAgentNames } from "#tooling/embed.ts" with { type: "macro" };
import { any, command, group, one, toggle, value } from "./types.ts";
import { vmCommands } from "./vm.ts";

const {
  detach: _detach,
  foreground: _foreground,
  entrypoint: _entrypoint,
  ...runFlags
} = vmCommands.commands.run.flags;

export const agentCommands = group("Run coding agents in machines", {
  list: command({
    brief: "List the known agents",
    aliases: ["ls"],
    examples: ["banger agent list", "banger agent list --json"],
  }),
  run: command({
    brief: "Run a coding agent in a new machine, then remove the machine",
    details: `Installs the agent from npm once for each image, imports the workspace if one is given, and restricts the machine's
network to the hosts that the agent needs; --allow and --policy add others. Its credentials are read from the
environment or your keyring and never enter the machine: it sees placeholders (see \`banger secret\`).`,
    args: {
      agent: one("Name of an agent", { choices: readAgentNames() }),
      arguments: any("Arguments of the agent"),
    },
    flags: {
      ...runFlags,
      image: value("--image <image>", "Image to run in (default: node:22-bookworm)", textArg, {
        completes: "image",
      }),
      unsafeCredentials: toggle(
        "--unsafe-credentials",
        "Put the credentials into the agent's environment in the machine",
      ),
    },
    isPassThrough: true,
    examples: [
      "banger agent run --workspace ~/src/app claude-code",
      "banger agent run --workspace ~/src/app --tooling codex -- exec 'fix the tests'",
    ],
  }),
});
