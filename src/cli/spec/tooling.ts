/** Commands and flags that find out what a project needs. */
import { textArg } from "#cli/args/numbers.ts";
import { command, group, optional, toggle, value } from "./types.ts";

export const toolingFlags = {
  tooling: toggle(
    "--tooling",
    "Install what the workspace's project pins, and its dependencies: see `banger tooling plan`",
  ),
  setup: value("--setup <file>", "With --tooling: script to run as root after it", textArg, {
    completes: "path",
  }),
};

export const toolingCommands = group("Find out what a project needs", {
  plan: command({
    brief: "Print the tools and commands that a project needs, with reasons",
    details: `Reads the files that pin versions (.tool-versions, mise.toml, .nvmrc, package.json, pyproject.toml, go.mod,
devcontainer.json and others) and lock files. Runs nothing, and needs no daemon.`,
    args: { path: optional("Project directory (default: the current one)", { completes: "path" }) },
    flags: {
      dockerfile: toggle("--dockerfile", "Print the Dockerfile that installs the tools"),
    },
    examples: [
      "banger tooling plan",
      "banger tooling plan ~/src/app --json",
      "banger vm run --workspace ~/src/app --tooling debian:bookworm -- npm test",
    ],
  }),
});
